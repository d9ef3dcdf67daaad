"""Decisions from outcomes: pure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.codes import (
    Action,
    DecisionSource,
    Evaluation,
    FallbackKind,
    ReasonCode,
    Severity,
)
from streams.events import Classification, Decision, Inspection, PartOnLine
from streams.ids import decision_id
from streams.ports import Failure, Outcome, Policy, Situation

_FALLBACK_KINDS = {
    ReasonCode.LATE: FallbackKind.LATE,
    ReasonCode.EXPERT_UNAVAILABLE: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.UNDECODABLE_IMAGE: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.NO_ARTIFACT: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.UNKNOWN_PRODUCT: FallbackKind.EXPERT_UNAVAILABLE,
    ReasonCode.CLASSIFIER_UNAVAILABLE: FallbackKind.LATE,
}
_PART_FIELDS = tuple(PartOnLine.model_fields)


@dataclass(frozen=True)
class Answers:
    """What is known of a part when it is decided."""

    inspection: Inspection | None = None
    classification: Classification | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)


def situation_of(part: PartOnLine, answers: Answers, failure: Failure | None = None) -> Situation:
    """What the policy may look at; with a failure, the fallback that fits it."""
    return Situation(
        station=part.station,
        lot_id=part.lot_id,
        inspection=answers.inspection,
        classification=answers.classification,
        fallback=None if failure is None else fallback_kind(failure.reason_code),
        failure=failure,
        captured_at=part.captured_at,
    )


def fallback_kind(reason: ReasonCode) -> FallbackKind:
    """The policy's own action for what went wrong; ``no_decision`` for everything unforeseen."""
    return _FALLBACK_KINDS.get(reason, FallbackKind.NO_DECISION)


def evaluation_of(severity: Severity) -> Evaluation:
    """OPC 40001-101: a negligible anomaly is OK; what is unknown is not decidable."""
    if severity is Severity.UNKNOWN:
        return Evaluation.NOT_DECIDABLE
    return Evaluation.NOT_OK if severity is Severity.DEFECT else Evaluation.OK


def decide(
    part: PartOnLine,
    policy: Policy,
    source: DecisionSource,
    answers: Answers,
    now_s: float,
    failure: Failure | None = None,
    after_another: bool = False,
) -> Decision:
    """One decision, by the policy in force.

    Args:
        part: the frame, or what could be salvaged of it.
        policy: the product's.
        source: who decides; the decision's id derives from it.
        answers: inspection, classification and timings so far.
        now_s: seconds since the epoch.
        failure: why a fallback is needed; None for an answer.
        after_another: another decision stands already, so this one is recorded as late.
    """
    started = time.perf_counter()
    outcome = _total(policy, situation_of(part, answers, failure))
    timings = {**answers.timings_ms, "policy": (time.perf_counter() - started) * 1000}
    decided_at = datetime.fromtimestamp(now_s, tz=UTC)
    fields = {name: getattr(part, name) for name in _PART_FIELDS}
    return Decision(
        **fields,
        result_id=decision_id(part.frame_id, source),
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
        inspection=answers.inspection,
        classification=answers.classification,
        decided_at=decided_at,
        timings_ms={name: round(ms, 3) for name, ms in timings.items()},
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
