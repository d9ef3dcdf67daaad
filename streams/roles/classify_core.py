"""What becomes of an anomaly: pure. Values in, decisions out."""

from streams.codes import DecisionSource, ReasonCode
from streams.events import Anomaly, Classification, Decision
from streams.ports import Failure, Policy
from streams.roles.decisions import Answers, decide
from streams.roles.inspect_core import Clock, DeadCause, Results, dead_cause

_KEEPS_BYTES = {ReasonCode.UNDECODABLE_IMAGE, ReasonCode.MALFORMED_EVENT, ReasonCode.NO_ARTIFACT}

_TIMED_OUT = {"Timeout", "TimeoutError"}


def on_answer(
    anomaly: Anomaly, answer: Classification | Failure, policy: Policy, clock: Clock
) -> Results:
    """The classifier answered before the fallback was due, or cannot answer at all."""
    if isinstance(answer, Failure):
        return Results(on_fallback(anomaly, answer, policy, clock), dead=_dead(answer))
    return Results(_classified(anomaly, answer, policy, clock, after_another=False))


def on_fallback(anomaly: Anomaly, failure: Failure, policy: Policy, clock: Clock) -> Decision:
    """Late, down or impossible: the policy's fallback, with what the expert saw."""
    answers = Answers(anomaly.inspection, timings_ms=_timings(anomaly, clock))
    source = DecisionSource.FALLBACK
    return decide(anomaly.frame, policy, source, answers, clock.now_s, failure)


def may_come_late(failure: Failure) -> bool:
    """Whether the classifier may be at work still: it was asked, and time ran out."""
    return failure.reason_code is ReasonCode.LATE or failure.error_type in _TIMED_OUT


def on_late_answer(
    anomaly: Anomaly, answer: Classification | Failure, policy: Policy, clock: Clock
) -> Results:
    """After the fallback: a second decision that is recorded and changes no action."""
    if isinstance(answer, Failure):
        return Results(dead=_dead(answer))
    return Results(_classified(anomaly, answer, policy, clock, after_another=True))


def _classified(
    anomaly: Anomaly, answer: Classification, policy: Policy, clock: Clock, after_another: bool
) -> Decision:
    answers = Answers(anomaly.inspection, answer, _timings(anomaly, clock))
    source = DecisionSource.CLASSIFIER
    return decide(anomaly.frame, policy, source, answers, clock.now_s, after_another=after_another)


def _dead(failure: Failure) -> DeadCause | None:
    """Bad input is a dead letter; a classifier that is away is not: the anomaly is kept anyway."""
    return dead_cause(failure) if failure.reason_code in _KEEPS_BYTES else None


def _timings(anomaly: Anomaly, clock: Clock) -> dict[str, float]:
    return {**anomaly.timings_ms, **clock.timings_ms}
