"""Says why in sentences that a line operator understands. Text from outside is quoted as data."""

import re
from collections.abc import Mapping, Sequence

from policies.conditions.variables import VARIABLES, Value
from policies.model import Rule, ShotRule
from streams.codes import FallbackKind, ReasonCode, Severity
from streams.events import Classification, Inspection
from streams.ports import Failure

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LIMIT = 300
_LONGEST_FAILURE = 420
_MEANING = {
    Severity.NORMAL: "which is as it should be",
    Severity.NEGLIGIBLE: "which does not matter on this product",
    Severity.DEFECT: "which is a defect on this product",
    Severity.UNKNOWN: "which nobody has named yet",
}
_LABELS = {
    "area_mm2": "area",
    "longest_mm": "longest side",
    "area_px": "area",
    "longest_px": "longest side",
    "count": "pieces",
    "p_value": "p-value",
}
_FALLBACKS = {
    FallbackKind.UNKNOWN: "The anomaly is none that the policy knows",
    FallbackKind.UNSURE: "The classifier is not sure what the anomaly is",
    FallbackKind.LATE: "The classifier did not answer in time",
    FallbackKind.EXPERT_UNAVAILABLE: "The vision expert could not answer",
    FallbackKind.NO_DECISION: "Nobody could decide about the part",
}
_LATE_EXPERT = "The vision expert did not answer in time"
_FAILURES = {
    ReasonCode.EXPERT_UNAVAILABLE: "The vision expert could not answer",
    ReasonCode.CLASSIFIER_UNAVAILABLE: "The classifier could not answer",
    ReasonCode.UNDECODABLE_IMAGE: "The picture could not be read",
    ReasonCode.MALFORMED_EVENT: "The event of the part could not be read",
    ReasonCode.UNKNOWN_PRODUCT: "The product is not known",
    ReasonCode.NO_ARTIFACT: "The product has no vision expert in force",
}
"""What went wrong, in words, where the failure says it better than the fallback's kind does."""


def plain(text: str, limit: int = _LIMIT) -> str:
    """Text from outside on one line of bounded length, without control or direction characters."""
    flat = _CONTROL.sub(" ", text).strip()
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def for_normal(inspection: Inspection) -> str:
    """Why a normal frame passes."""
    return (
        f"Nothing odd was found (score {inspection.score:.3g}, limit {inspection.threshold:.3g})."
    )


def for_false_alarm(p_value: float, stop_rate: float) -> str:
    """Why a part that looked odd is not stopped."""
    return (
        f"Looked odd, but {p_value:.1%} of normal parts look as odd, and no more than "
        f"{stop_rate:.1%} of them may be stopped."
    )


def for_class(display: str, severity: Severity, answer: Classification) -> str:
    """Why a class decides by itself."""
    if answer.class_name == "normal":
        return f"Looked odd, but the classifier calls it normal ({_confidence(answer)})."
    return f"{plain(display)} ({_confidence(answer)}), {_MEANING[severity]}."


def because_of_rule(
    rule: Rule, display: str, answer: Classification, measured: Mapping[str, Value]
) -> str:
    """Why a rule decides: its own words, and what was measured."""
    words = plain(rule.because) or f"rule {rule.name} applies"
    facts = [describe(name, value) for name, value in measured.items() if name != "class"]
    if "confidence" not in measured:
        facts.insert(0, _confidence(answer))
    return f"{plain(display)}: {words} ({', '.join(facts)})."


def because_of_fallback(
    kind: FallbackKind,
    answer: Classification | None,
    failure: Failure | None,
    below: float,
    detail: str = "",
    is_inspected: bool = True,
) -> str:
    """Why a fallback decides: which stage failed, and what went wrong there.

    Args:
        kind: the fallback of the policy.
        answer: the classifier's, if it answered.
        failure: what went wrong, if anything did.
        below: the confidence that the policy asks for.
        detail: why the policy itself could not decide.
        is_inspected: whether the vision expert answered; what was late is the classifier then.
    """
    parts = [_stage(kind, failure, is_inspected)]
    if said := detail or _said_of(kind, answer, below):
        parts.append(said)
    if failure is not None and failure.message:
        parts.append(plain(failure.message, _LONGEST_FAILURE))
    return ": ".join(parts).rstrip(".") + "."


def _said_of(kind: FallbackKind, answer: Classification | None, below: float) -> str:
    """What is wrong with an answer; empty: nothing, or nothing is known of it."""
    if answer is None:
        return ""
    if kind is FallbackKind.UNSURE:
        return f"{plain(answer.class_name)} at {_confidence(answer)}, {below:.0%} is asked"
    if kind is not FallbackKind.UNKNOWN:
        return ""
    if answer.class_name != "unknown":
        return f"the answer was {plain(answer.class_name)!r}, no class of the policy"
    return plain(answer.unknown_reason)


def _stage(kind: FallbackKind, failure: Failure | None, is_inspected: bool) -> str:
    """Which stage did not answer, and whether it was late or could not."""
    if failure is not None and failure.reason_code in _FAILURES:
        return _FAILURES[failure.reason_code]
    if kind is FallbackKind.LATE and not is_inspected:
        return _LATE_EXPERT
    return _FALLBACKS[kind]


def because_uncertified(display: str, answer: Classification, lacking: str) -> str:
    """Why a class that the policy lets pass does not pass by itself."""
    return f"{plain(display)} ({_confidence(answer)}) may not pass by itself: {plain(lacking)}."


def of_shot(shot: str, expected: int, reason: str) -> str:
    """Why a part is decided by one of its shots.

    >>> of_shot("2 (left)", 3, "the camera gave no picture")
    'Shot 2 (left) of 3: the camera gave no picture'
    """
    return f"Shot {plain(shot, 80)} of {expected}: {reason}"


def because_of_shot_rule(rule: ShotRule, shots: Sequence[str], expected: int) -> str:
    """Why a rule over the shots decides: its own words, and the shots for which it holds."""
    words = plain(rule.because) or f"rule {rule.name} applies"
    named = ", ".join(plain(shot, 80) for shot in shots)
    return f"Shots {named} of {expected}: {words}."


def describe(name: str, value: Value) -> str:
    """One measured value for people: ``area 4.1 mm²``."""
    label = _LABELS.get(name, name)
    if isinstance(value, str):
        return f"{label} {plain(value, 64) or 'none'}"
    if name == "confidence":
        return f"confidence {value:.0%}"
    unit = VARIABLES[name].unit
    return f"{label} {_number(value)}" + (f" {unit}" if unit else "")


def _number(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"


def _confidence(answer: Classification) -> str:
    return f"confidence {answer.confidence:.0%}"
