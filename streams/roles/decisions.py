"""What becomes of a frame or an anomaly: values in, events out."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

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
    Inspection,
    PartOnLine,
    ShotVerdict,
    decision_id,
)
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
    """Now at the part's gateway, and the timings so far by stage in milliseconds."""

    now_s: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    ahead_s: float = 0.0
    """By how much this host's clock was found to be ahead of the gateway's, seconds."""
    earliest_s: float = float("inf")
    """The earliest that it may be there, where that is before ``now_s``."""

    def is_past(self, deadline: datetime) -> bool:
        """Whether that is over for sure; of a part that may be open its gateway judges."""
        return datetime.fromtimestamp(min(self.now_s, self.earliest_s), tz=UTC) > deadline

    def after(self, timings_ms: Mapping[str, float]) -> "Moment":
        """The same with the timings of the stages before."""
        return replace(self, timings_ms={**timings_ms, **self.timings_ms})


def classified(
    anomaly: Anomaly,
    answer: Classification | Failure,
    policy: Policy,
    moment: Moment,
    after_another: bool = False,
) -> Reaction:
    """The classifier answered, or cannot answer at all.

    ``after_another``: the fallback stands already, and an answer is a second decision that changes
    no action. Bad input is a dead letter; a classifier that is away is not: the anomaly is kept.
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
        is_late=after_another or moment.is_past(part.deadline),
        policy_hash=policy.policy_hash,
        inspection=inspection,
        classification=classification,
        decided_at=decided_at,
        clock_ahead_s=round(moment.ahead_s, 3),
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
