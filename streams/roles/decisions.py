"""What becomes of a frame or an anomaly: pure. Values in, events out."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from streams.codes import (
    Action,
    DecisionSource,
    Evaluation,
    FallbackKind,
    ReasonCode,
    Severity,
)
from streams.events import (
    Anomaly,
    Classification,
    Decision,
    Frame,
    Inspection,
    PartOnLine,
    ShotVerdict,
    decision_id,
)
from streams.ids import audit_draw
from streams.ports import Failure, Outcome, Policy, Situation

_FALLBACK_KINDS = {
    ReasonCode.LATE: FallbackKind.LATE,
    ReasonCode.EXPERT_UNAVAILABLE: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.UNDECODABLE_IMAGE: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.NO_ARTIFACT: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.UNKNOWN_PRODUCT: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.CLASSIFIER_UNAVAILABLE: FallbackKind.LATE,
}
_BAD_INPUT = {ReasonCode.UNDECODABLE_IMAGE, ReasonCode.MALFORMED_EVENT, ReasonCode.NO_ARTIFACT}
_PART_FIELDS = tuple(PartOnLine.model_fields)


@dataclass(frozen=True)
class Reaction:
    """What is to be sent before the event may be acknowledged."""

    decision: Decision | None = None
    anomaly: Anomaly | None = None
    dead: Failure | None = None
    """Why the original bytes go to the dead-letter topic."""


@dataclass(frozen=True)
class Moment:
    """Now, in seconds since the epoch, and the timings so far by stage in milliseconds."""

    now_s: float = field(default_factory=time.time)
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def after(self, timings_ms: Mapping[str, float]) -> "Moment":
        """The same with the timings of the stages before."""
        return Moment(self.now_s, {**timings_ms, **self.timings_ms})


# --- A frame, after the expert ----------------------------------------------------------------


def anomalous(frame: Frame, inspection: Inspection, moment: Moment) -> Reaction:
    """An anomaly to classify."""
    return Reaction(anomaly=_anomaly(frame, inspection, moment, "anomalous"))


def normal(frame: Frame, inspection: Inspection, policy: Policy, moment: Moment) -> Reaction:
    """A decision, and the picture if the audit samples it."""
    audit = None
    if sampled(frame.part_identity, policy.audit_share):  # all shots of a part, or none
        audit = _anomaly(frame, inspection, moment, "audit")
    return Reaction(decide(frame, policy, DecisionSource.EXPERT, moment, inspection), audit)


def not_inspected(frame: PartOnLine, failure: Failure, policy: Policy, moment: Moment) -> Reaction:
    """A final failure: the fallback, and a dead letter that keeps the bytes."""
    return Reaction(fallback(frame, failure, policy, moment), dead=failure)


def inspected_late(frame: Frame, answer: Inspection | Failure, moment: Moment) -> Reaction:
    """After the fallback image and region are kept and change no action.

    A frame that was never inspected keeps its picture as a dead letter.
    """
    if isinstance(answer, Failure):
        return Reaction(dead=answer)
    return Reaction(anomaly=_anomaly(frame, answer, moment, "decided"))


def _anomaly(frame: Frame, inspection: Inspection, moment: Moment, reason: str) -> Anomaly:
    return Anomaly(
        frame=frame,
        inspection=inspection,
        classify=reason == "anomalous",
        reason=reason,
        timings_ms={name: round(ms, 3) for name, ms in moment.timings_ms.items()},
    )


def sampled(frame_id: UUID, share: float) -> bool:
    """Whether a part is in the audit sample at a share from 0 to 1, should it pass."""
    return audit_draw(frame_id) < share


# --- An anomaly, after the classifier ---------------------------------------------------------


def classified(
    anomaly: Anomaly,
    answer: Classification | Failure,
    policy: Policy,
    moment: Moment,
    after_another: bool = False,
) -> Reaction:
    """The classifier answered, or cannot answer at all.

    ``after_another``: the fallback stands already, and an answer is a second decision that is
    recorded and changes no action. Bad input is a dead letter; a classifier that is away is not:
    the anomaly is kept anyway.
    """
    if isinstance(answer, Failure):
        decision = None if after_another else fallback(anomaly, answer, policy, moment)
        return Reaction(decision, dead=answer if answer.reason_code in _BAD_INPUT else None)
    return Reaction(
        decide(
            anomaly.frame,
            policy,
            DecisionSource.CLASSIFIER,
            moment.after(anomaly.timings_ms),
            anomaly.inspection,
            answer,
            after_another=after_another,
        )
    )


# --- Both -------------------------------------------------------------------------------------


def fallback(
    what: PartOnLine | Anomaly, failure: Failure, policy: Policy, moment: Moment
) -> Decision:
    """No answer in time, or none possible: the policy's fallback, with what the expert saw."""
    source = DecisionSource.FALLBACK
    if not isinstance(what, Anomaly):
        return decide(what, policy, source, moment, failure=failure)
    moment = moment.after(what.timings_ms)
    return decide(what.frame, policy, source, moment, what.inspection, failure=failure)


def evaluation_of(severity: Severity) -> Evaluation:
    """OPC 40001-101: a negligible anomaly is OK; what is unknown is not decidable.

    >>> evaluation_of(Severity.NEGLIGIBLE)
    <Evaluation.OK: 'OK'>
    """
    if severity is Severity.UNKNOWN:
        return Evaluation.NOT_DECIDABLE
    return Evaluation.NOT_OK if severity is Severity.DEFECT else Evaluation.OK


def decide(
    part: PartOnLine,
    policy: Policy,
    source: DecisionSource,
    moment: Moment,
    inspection: Inspection | None = None,
    classification: Classification | None = None,
    failure: Failure | None = None,
    after_another: bool = False,
) -> Decision:
    """One decision, by the policy in force; for one of several shots of a part, its verdict.

    Args:
        part: the frame, or what could be salvaged of it.
        policy: the product's.
        source: who decides; the decision's id derives from it.
        moment: now, and the timings so far.
        inspection: the expert's, if it answered.
        classification: the classifier's, if it answered.
        failure: why a fallback is needed; None for an answer.
        after_another: another decision stands already, so this one is recorded as late.
    """
    started = time.perf_counter()
    outcome = _total(policy, situation_of(part, inspection, classification, failure))
    timings = {**moment.timings_ms, "policy": (time.perf_counter() - started) * 1000}
    decided_at = datetime.fromtimestamp(moment.now_s, tz=UTC)
    fields = {name: getattr(part, name) for name in _PART_FIELDS}
    of_shot = part.shots_expected > 1
    return (ShotVerdict if of_shot else Decision)(
        **fields,
        result_id=decision_id(part.frame_id, source, of_shot),
        source=source,
        evaluation=evaluation_of(outcome.severity),
        class_name=outcome.class_name,
        class_id=outcome.class_id,
        severity=outcome.severity,
        action=outcome.action,
        reason_code=outcome.reason_code,
        reason=outcome.reason[:2048],
        rule=outcome.rule,
        is_late=after_another or decided_at > part.deadline,
        policy_hash=policy.policy_hash,
        inspection=inspection,
        classification=classification,
        decided_at=decided_at,
        timings_ms={name: round(ms, 3) for name, ms in timings.items()},
        golden=None if of_shot else policy.golden(part.part_id, outcome.action, outcome.severity),
    )


def situation_of(
    part: PartOnLine,
    inspection: Inspection | None,
    classification: Classification | None,
    failure: Failure | None,
) -> Situation:
    """What the policy may look at; with a failure, the fallback that fits it."""
    kind = None
    if failure is not None:  # for everything unforeseen: nobody could decide
        kind = _FALLBACK_KINDS.get(failure.reason_code, FallbackKind.NO_DECISION)
    return Situation(
        station=part.station,
        lot_id=part.lot_id,
        inspection=inspection,
        classification=classification,
        fallback=kind,
        failure=failure,
        captured_at=part.captured_at,
        shot=part.shot_name,
    )


def _total(policy: Policy, situation: Situation) -> Outcome:
    """The policy's word; a policy that raises is a defect, and the part is held."""
    try:
        return policy.decide(situation)
    except Exception as error:  # noqa: BLE001 - no part without a decision
        return Outcome(
            action=Action.HOLD,
            severity=Severity.UNKNOWN,
            reason_code=ReasonCode.NO_DECISION,
            reason=f"the policy could not be evaluated: {type(error).__name__}: {error}",
            rule="fallback:policy_error",
        )
