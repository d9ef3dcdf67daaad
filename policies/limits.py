"""Limits across parts: counting in a window of parts. Pure; each part counts once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID, uuid5

from policies.model import Limit
from streams.codes import Action
from streams.events import Alert, Decision

_ALERTS = UUID("2f0a6a35-8f3f-5b1e-9d0c-5a6d1f7f2b11")


@dataclass(frozen=True)
class Counted:
    """One part in the window."""

    frame_id: str
    action: str
    class_name: str


@dataclass(frozen=True)
class LimitWindow:
    """The last parts of one product on one line, newest last, and which limits are exceeded.

    Plain data (``to_dict`` and ``from_dict``), so that a changelog can hold it.
    """

    parts: tuple[Counted, ...] = ()
    exceeded: frozenset[str] = field(default_factory=frozenset)
    """``limit`` or ``limit/class``: an alert is raised when one enters this set, not again while
    it stays."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "parts": [[p.frame_id, p.action, p.class_name] for p in self.parts],
            "exceeded": sorted(self.exceeded),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave; an empty mapping is an empty window."""
        parts = tuple(Counted(*entry) for entry in data.get("parts", ()))
        return cls(parts, frozenset(data.get("exceeded", ())))


@dataclass(frozen=True)
class Exceeded:
    """A limit that has just been exceeded."""

    limit: str
    class_name: str
    count: int
    window_parts: int
    request_stop: bool
    reason: str


def counts(decision: Decision) -> bool:
    """Whether a decision stands for a part: late answers, which change no action, do not."""
    return not decision.is_late


def observe(
    window: LimitWindow, decision: Decision, limits: Mapping[str, Limit]
) -> tuple[LimitWindow, tuple[Exceeded, ...]]:
    """The window after one more decision, and the limits it exceeds that were not before.

    A part that is already in the window changes nothing: redelivery, and a second decision for
    the same part, count once. A product without limits keeps no window.
    """
    frame_id = str(decision.frame_id)
    if not limits or not counts(decision) or any(p.frame_id == frame_id for p in window.parts):
        return (window if limits else LimitWindow()), ()
    longest = max(limit.in_parts for limit in limits.values())
    part = Counted(frame_id, decision.action.value, decision.class_name)
    parts = (*window.parts, part)[-longest:]
    over: dict[str, Exceeded] = {}
    for name, limit in sorted(limits.items()):
        for found in _over(name, limit, parts):
            over[f"{name}/{found.class_name}" if found.class_name else name] = found
    fresh = tuple(found for key, found in over.items() if key not in window.exceeded)
    return LimitWindow(parts, frozenset(over)), fresh


def _over(name: str, limit: Limit, parts: Sequence[Counted]) -> list[Exceeded]:
    window = parts[-limit.in_parts :]
    tally: dict[str, int] = {}
    for part in window:
        if _counted(part, limit):
            key = part.class_name if limit.each_class else ""
            tally[key] = tally.get(key, 0) + 1
    return [
        Exceeded(name, key, count, limit.in_parts, limit.stop, _sentence(name, key, count, limit))
        for key, count in sorted(tally.items())
        if count > limit.more_than
    ]


def _counted(part: Counted, limit: Limit) -> bool:
    if limit.classes and part.class_name not in limit.classes:
        return False
    if limit.action:
        return part.action in {action.value for action in limit.action}
    return part.action != Action.PASS.value


def _sentence(name: str, class_name: str, count: int, limit: Limit) -> str:
    what = "/".join(action.value for action in limit.action) or "stopped"
    of = class_name or ", ".join(limit.classes)
    kind = f" of class {of}" if of else ""
    return (
        f"{count} parts{kind} were {what} in the last {limit.in_parts}, "
        f"more than the {limit.more_than} that limit {name} allows"
    )


def alert_of(decision: Decision, found: Exceeded) -> Alert:
    """The event for ``andon.alerts``; its id repeats under redelivery."""
    identity = f"{decision.frame_id}/{found.limit}/{found.class_name}"
    return Alert(
        alert_id=uuid5(_ALERTS, identity),
        line=decision.line,
        product_id=decision.product_id,
        limit=found.limit,
        reason=found.reason,
        request_stop=found.request_stop,
        count=found.count,
        window_parts=found.window_parts,
        policy_hash=decision.policy_hash,
        raised_at=decision.decided_at,
    )
