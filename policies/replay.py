"""From a recorded decision back to the situation it was made in."""

from streams.codes import DecisionSource, FallbackKind
from streams.events import Decision
from streams.ports import Failure, Outcome, Situation

_BY_ANSWER = (FallbackKind.UNKNOWN, FallbackKind.UNSURE)
_PREFIX = "fallback:"


def situation_of(decision: Decision) -> Situation | None:
    """What the policy was asked; None for a decision that no policy made.

    The words of a failure are not recorded apart, its reason code is: a replay gives the same
    decision with a shorter sentence.
    """
    if not decision.policy_hash:
        return None
    fallback, failure = _fallback(decision)
    return Situation(
        station=decision.station,
        lot_id=decision.lot_id,
        inspection=decision.inspection,
        classification=decision.classification,
        fallback=fallback,
        failure=failure,
        captured_at=decision.captured_at,
    )


def _fallback(decision: Decision) -> tuple[FallbackKind | None, Failure | None]:
    if decision.source is DecisionSource.WATCHDOG and not decision.rule:
        return FallbackKind.NO_DECISION, Failure(decision.reason_code, "", "")
    if not decision.rule.startswith(_PREFIX):
        return None, None
    try:
        kind = FallbackKind(decision.rule.removeprefix(_PREFIX))
    except ValueError:
        return FallbackKind.NO_DECISION, Failure(decision.reason_code, "", "")
    if decision.classification is not None or kind in _BY_ANSWER:
        return None, None
    return kind, Failure(decision.reason_code, "", "")


def disagreement(recorded: Decision, again: Outcome) -> str:
    """What a replay gives differently, as ``action pass, recorded hold``; '' when it agrees."""
    pairs = (
        ("action", recorded.action, again.action),
        ("severity", recorded.severity, again.severity),
        ("class", recorded.class_name, again.class_name),
        ("class number", recorded.class_id, again.class_id),
        ("reason code", recorded.reason_code, again.reason_code),
        ("rule", recorded.rule, again.rule),
    )
    return "; ".join(f"{what} {now}, recorded {then}" for what, then, now in pairs if then != now)
