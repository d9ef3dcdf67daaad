"""The events that the gateway publishes, from its journal's entries. Pure."""

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime

from connectors.gateway.journal_entries import JournalEntry
from connectors.handshake.values import Part, PartKey, Verdict
from connectors.settings import GatewaySettings
from streams.codes import (
    AckOutcome,
    Action,
    ClockStatus,
    DecisionSource,
    Evaluation,
    FallbackKind,
    FaultCode,
    ReasonCode,
    ResultCode,
    Severity,
)
from streams.events import Acknowledgement, Decision, Frame, PartOnLine, ShotVerdict, decision_id
from streams.ids import frame_key
from streams.names import normal_form
from streams.ports import Failure, Outcome, Picture, Policy, Situation
from streams.topics import INLINE_LIMIT_BYTES

CAMERA_FAULT = "CameraFault"
"""The error type of a dead letter that holds a picture which the gateway refused."""
_IN_WORDS = {
    ReasonCode.MISSED_TRIGGER: "The trigger was not captured",
    ReasonCode.CAPTURE_FAILED: "The camera gave no picture",
}


def part_on_line(
    where: GatewaySettings, entry: JournalEntry, clock: ClockStatus, shot: int = 0
) -> PartOnLine:
    """The fields that every event of a part repeats; those of one of its shots with ``shot``.

    What the controller wrote stands in the journal and is written back to it as it was; events have
    it without the blanks or NULs around it, as people and policies write it.
    """
    trigger = entry.trigger
    several = len(entry.frame_ids) > 1
    return PartOnLine(
        frame_id=entry.frame_ids[max(shot - 1, 0)],
        shot=max(shot, 1),
        shots_expected=len(entry.frame_ids),
        shot_name=where.shots[shot - 1].name if several and shot else "",
        part_frame_id=entry.frame_id if several else None,
        enterprise=where.enterprise,
        site=where.site,
        area=where.area,
        line=where.line,
        station=where.station,
        product_id=normal_form(trigger.product_id),
        part_id=normal_form(trigger.part_id),
        lot_id=normal_form(trigger.lot_id),
        plc_boot_id=entry.key.plc_boot_id,
        trigger_seq=entry.key.trigger_seq,
        encoder_pos=trigger.encoder_pos,
        captured_at=utc(entry.part_captured_at),
        deadline=utc(entry.triggered_at + entry.window_s),
        result_window_ms=max(round(entry.window_s * 1000), 1),
        clock_status=clock,
        is_simulated=where.is_simulated,
        recipe=entry.recipe,
    )


def part_of(event: PartOnLine) -> PartOnLine:
    """The part that an event is about."""
    return PartOnLine(**{name: getattr(event, name) for name in PartOnLine.model_fields})


def frame_event(part: PartOnLine, picture: Picture, light: str = "") -> Frame:
    """The frame event, which names an object in place of a picture over the inline limit."""
    large = len(picture.data) > INLINE_LIMIT_BYTES
    return Frame(
        **dict(part),
        content_type=picture.content_type,
        size_bytes=len(picture.data),
        sha256=hashlib.sha256(picture.data).hexdigest(),
        dataref=frame_key(part.frame_id) if large else None,
        image_name=picture.name[-512:],
        light=light,
    )


def failed_shot(part: PartOnLine, why: str, at: float) -> ShotVerdict:
    """The verdict on a shot that its camera did not take: the part is joined without it."""
    source = DecisionSource.WATCHDOG
    outcome = held(ReasonCode.CAPTURE_FAILED, why)
    return ShotVerdict(
        **dict(part),
        result_id=decision_id(part.frame_id, source, of_shot=True),
        source=source,
        evaluation=Evaluation.NOT_DECIDABLE,
        class_name="unknown",
        severity=outcome.severity,
        action=outcome.action,
        reason_code=outcome.reason_code,
        reason=outcome.reason[:2048],
        rule=outcome.rule,
        decided_at=utc(at),
    )


def held(reason: ReasonCode, why: str) -> Outcome:
    """The outcome that the handshake itself demands: the part is held, for a cause in words."""
    return Outcome(
        Action.HOLD,
        Severity.UNKNOWN,
        reason_code=reason,
        reason=f"{_IN_WORDS[reason]}: {why}." if why else f"{_IN_WORDS[reason]}.",
        rule=f"gateway:{reason.name.lower()}",
    )


def undecided(
    station: str, lot_id: str, entry: JournalEntry, faults: Collection[FaultCode]
) -> Situation:
    """What the policy is asked when no decision came in time, and what the gateway knows of why."""
    if not entry.captured:
        why = "the exposure is not over"
    elif FaultCode.KAFKA in faults:
        why = "Kafka takes nothing, and the frame waits on the gateway's disk"
    elif not entry.published:
        why = "the frame is not at the broker yet"
    else:
        why = "the frame is at the broker, and no decision came back from the workers"
        if FaultCode.CLOCK_SKEW in faults:
            why += " (clock skew: a worker's clock and the gateway's differ)"
    failure = Failure(ReasonCode.NO_DECISION, "Watchdog", why)
    kind = FallbackKind.NO_DECISION
    return Situation(station=station, lot_id=lot_id, fallback=kind, failure=failure)


def gateway_decision(
    part: PartOnLine, outcome: Outcome, reason: ReasonCode, policy: Policy, at: float
) -> Decision:
    """A decision that the gateway itself takes; its ``source`` is ``watchdog``.

    A part that the handshake itself holds was judged by no policy: its decision names none.
    """
    return Decision(
        **dict(part),
        result_id=decision_id(part.frame_id, DecisionSource.WATCHDOG),
        source=DecisionSource.WATCHDOG,
        evaluation=Evaluation.NOT_DECIDABLE,
        class_name=outcome.class_name,
        class_id=outcome.class_id,
        severity=outcome.severity,
        action=outcome.action,
        reason_code=reason,
        reason=outcome.reason[:2048],
        rule=outcome.rule,
        policy_hash=policy.policy_hash if reason is ReasonCode.NO_DECISION else "",
        decided_at=utc(at),
        golden=policy.golden(part.part_id, outcome.action, outcome.severity),
    )


def verdict_of(decision: Decision) -> Verdict:
    """What the controller is told of a decision."""
    return Verdict(
        result_id=decision.result_id,
        source=decision.source,
        code=ResultCode.of(decision.action),
        reason=decision.reason_code,
        class_id=decision.class_id,
        score=decision.inspection.score if decision.inspection else 0.0,
        decided_at=decision.decided_at.timestamp(),
    )


def may_stand(decision: Decision) -> bool:
    """Whether it may stand for its part: in time, and not that of one of its shots."""
    is_own = decision.source is DecisionSource.WATCHDOG
    is_whole = decision.shots_expected == 1 or bool(decision.shots) or is_own
    return is_whole and not decision.is_late


def key_of(part: PartOnLine) -> PartKey:
    """The handshake's key of the part that an event is about."""
    return PartKey(part.plc_boot_id, part.trigger_seq)


def words_of(part: Part) -> dict[str, object]:
    """Which part it is, for a line in the log."""
    trace = {} if part.frame_id is None else {"trace_id": part.frame_id.hex}
    return {"part_id": part.trigger.part_id, "trigger_seq": part.key.trigger_seq, **trace}


def acknowledgement(
    part: PartOnLine,
    verdict: Verdict,
    outcome: AckOutcome,
    *,
    result_seq: int = 0,
    triggered_at: float | None = None,
    written_at: float | None = None,
    acknowledged_at: float | None = None,
    detail: str = "",
) -> Acknowledgement:
    """The event that says what became of one result; times in seconds since the epoch."""
    took = None
    if triggered_at is not None and written_at is not None:
        took = round((written_at - triggered_at) * 1000, 3)
    return Acknowledgement(
        **dict(part),
        result_id=verdict.result_id,
        source=verdict.source,
        action=verdict.code.action or Action.HOLD,
        outcome=outcome,
        result_seq=result_seq,
        decided_at=utc(verdict.decided_at) if verdict.decided_at else None,
        written_at=utc(written_at) if written_at is not None else None,
        acknowledged_at=utc(acknowledged_at) if acknowledged_at is not None else None,
        trigger_to_write_ms=took,
        detail=detail[:512],
    )


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as an aware UTC time.

    >>> utc(0.5).isoformat()
    '1970-01-01T00:00:00.500000+00:00'
    """
    return datetime.fromtimestamp(seconds, tz=UTC)
