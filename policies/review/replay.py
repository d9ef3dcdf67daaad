"""Reconstructs the situation in which a recorded decision was made."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from streams.codes import Action, DecisionSource, FallbackKind, ReasonCode, Severity
from streams.events import Classification, Inspection
from streams.ports import Failure, Outcome, Situation

_BY_ANSWER = (FallbackKind.UNKNOWN, FallbackKind.UNSURE)
_PREFIX = "fallback:"
_STOP_RATE = "stop_rate"
_OVER_SHOTS = "shots:"
"""A rule over the shots of a part, or a missing one: no single situation led to it."""


class Recorded(Protocol):
    """A recorded decision with what the policy saw: ``streams.events.Decision``, or a row of it."""

    @property
    def frame_id(self) -> UUID: ...
    @property
    def captured_at(self) -> datetime: ...
    @property
    def station(self) -> str: ...
    @property
    def product_id(self) -> str: ...
    @property
    def part_id(self) -> str: ...
    @property
    def lot_id(self) -> str: ...
    @property
    def source(self) -> DecisionSource: ...
    @property
    def action(self) -> Action: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def class_name(self) -> str: ...
    @property
    def class_id(self) -> int | None:
        """None where it is not recorded: a replay then does not compare it."""
        ...

    @property
    def reason_code(self) -> ReasonCode: ...
    @property
    def rule(self) -> str: ...
    @property
    def is_late(self) -> bool: ...
    @property
    def policy_hash(self) -> str: ...
    @property
    def inspection(self) -> Inspection | None: ...
    @property
    def classification(self) -> Classification | None: ...


def situation_of(decision: Recorded) -> Situation | None:
    """The situation that the policy was asked about; None for a decision that no policy made.

    The words of a failure are not recorded apart, its reason code is: a replay gives the same
    decision with a shorter sentence.
    """
    if not decision.policy_hash or decision.rule.startswith(_OVER_SHOTS):
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


def _fallback(decision: Recorded) -> tuple[FallbackKind | None, Failure | None]:
    if decision.source is DecisionSource.WATCHDOG and not decision.rule:
        return FallbackKind.NO_DECISION, Failure(decision.reason_code, "", "")
    if decision.rule == _STOP_RATE and decision.classification is None:
        return FallbackKind.LATE, None  # of what has no answer it asks only what came too late
    if not decision.rule.startswith(_PREFIX):
        return None, None
    try:
        kind = FallbackKind(decision.rule.removeprefix(_PREFIX))
    except ValueError:
        return FallbackKind.NO_DECISION, Failure(decision.reason_code, "", "")
    if decision.classification is not None or kind in _BY_ANSWER:
        return None, None
    return kind, Failure(decision.reason_code, "", "")


def disagreement(recorded: Recorded, again: Outcome) -> str:
    """What a replay gives differently, as ``action pass, recorded hold``; '' when it agrees."""
    pairs = (
        ("action", recorded.action, again.action),
        ("severity", recorded.severity, again.severity),
        ("class", recorded.class_name, again.class_name),
        ("class number", recorded.class_id, again.class_id),
        ("reason code", recorded.reason_code, again.reason_code),
        ("rule", recorded.rule, again.rule),
    )
    return "; ".join(
        f"{what} {now}, recorded {then}"
        for what, then, now in pairs
        if then != now and then is not None
    )
