"""What becomes of a frame: pure. Values in, messages out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.codes import DecisionSource, ReasonCode
from streams.events import Anomaly, Decision, Frame, Inspection, PartOnLine
from streams.ports import Failure, Policy
from streams.roles.deadlines import sampled
from streams.roles.decisions import Answers, decide


@dataclass(frozen=True)
class DeadCause:
    """Why the original bytes go to the dead-letter topic."""

    error_type: str
    error: str


@dataclass(frozen=True)
class Results:
    """What is to be sent before the frame may be acknowledged."""

    decision: Decision | None = None
    anomaly: Anomaly | None = None
    dead: DeadCause | None = None


@dataclass(frozen=True)
class Clock:
    """Now, in seconds since the epoch, and the timings so far by stage in milliseconds."""

    now_s: float
    timings_ms: Mapping[str, float] = field(default_factory=dict)


def on_answer(frame: Frame, answer: Inspection | Failure, policy: Policy, clock: Clock) -> Results:
    """The expert answered before the fallback was due.

    Normal: a decision, and the picture if the audit samples it. Anomalous: an anomaly to
    classify. A final failure: the fallback, and a dead letter that keeps the bytes.
    """
    if isinstance(answer, Failure):
        return Results(on_fallback(frame, answer, policy, clock), dead=dead_cause(answer))
    if answer.anomalous:
        return Results(anomaly=_anomaly(frame, answer, clock, classify=True, reason="anomalous"))
    audit = None
    if sampled(frame.frame_id, policy.audit_share):
        audit = _anomaly(frame, answer, clock, classify=False, reason="audit")
    answers = Answers(answer, timings_ms=clock.timings_ms)
    return Results(decide(frame, policy, DecisionSource.EXPERT, answers, clock.now_s), audit)


def on_fallback(part: PartOnLine, failure: Failure, policy: Policy, clock: Clock) -> Decision:
    """No answer in time, or none possible: the policy's fallback."""
    answers = Answers(timings_ms=clock.timings_ms)
    return decide(part, policy, DecisionSource.FALLBACK, answers, clock.now_s, failure)


def on_late_answer(frame: Frame, answer: Inspection | Failure, clock: Clock) -> Results:
    """After the fallback: image and region are kept and change no action.

    A frame that was never inspected keeps its picture as a dead letter.
    """
    if isinstance(answer, Failure):
        return Results(dead=dead_cause(answer))
    return Results(anomaly=_anomaly(frame, answer, clock, classify=False, reason="decided"))


def dead_cause(failure: Failure) -> DeadCause:
    """The reason's name first, so that it can be counted and searched."""
    code = failure.reason_code
    name = failure.error_type if code is ReasonCode.NONE else code.name
    detail = f"{failure.error_type}: {failure.message}" if failure.message else failure.error_type
    return DeadCause(name, detail)


def _anomaly(
    frame: Frame, inspection: Inspection, clock: Clock, *, classify: bool, reason: str
) -> Anomaly:
    return Anomaly(
        frame=frame,
        inspection=inspection,
        classify=classify,
        reason=reason,
        timings_ms={name: round(ms, 3) for name, ms in clock.timings_ms.items()},
    )
