"""Limits across parts, counted in a window of the last parts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from policies.model import Limit
from streams.codes import Action
from streams.events import Alert, CountedPart, Decision
from streams.ports import LimitVerdict

_ALERTS = UUID("2f0a6a35-8f3f-5b1e-9d0c-5a6d1f7f2b11")


def count_part(
    limits: Mapping[str, Limit],
    policy_hash: str,
    decision: Decision,
    before: Sequence[CountedPart],
    exceeded: frozenset[str],
) -> LimitVerdict:
    """The limits after one more part.

    A limit is known as ``limit`` or ``limit/class``. Its alert is raised when it enters the
    exceeded ones, and not again while it stays.

    Args:
        limits: of the policy, by name.
        policy_hash: of the policy whose limits these are; the alerts name it.
        decision: of a part that is not among ``before``.
        before: the parts before it, newest last; at least the longest window less one.
        exceeded: what was exceeded after them.
    """
    parts: list[CountedPart | Decision] = [*before, decision]
    over: set[str] = set()
    alerts: list[Alert] = []
    for name, limit in sorted(limits.items()):
        counted = (part for part in parts[-limit.in_parts :] if _counts(part, limit))
        tally = Counter(part.class_name if limit.each_class else "" for part in counted)
        for class_name, count in sorted(tally.items()):
            if count <= limit.more_than:
                continue
            key = f"{name}/{class_name}" if class_name else name
            over.add(key)
            if key not in exceeded:
                alerts.append(_alert(decision, policy_hash, (name, limit), class_name, count))
    return LimitVerdict(frozenset(over), tuple(alerts))


def _counts(part: CountedPart | Decision, limit: Limit) -> bool:
    if limit.classes and part.class_name not in limit.classes:
        return False
    return part.action in limit.action if limit.action else part.action is not Action.PASS


def _alert(
    decision: Decision, policy_hash: str, named: tuple[str, Limit], class_name: str, count: int
) -> Alert:
    """The event for ``andon.alerts``; its id repeats under redelivery."""
    name, limit = named
    what = "/".join(action.value for action in limit.action) or "stopped"
    of = class_name or ", ".join(limit.classes)
    kind = f" of class {of}" if of else ""
    return Alert(
        alert_id=uuid5(_ALERTS, f"{decision.frame_id}/{name}/{class_name}"),
        line=decision.line,
        product_id=decision.product_id,
        limit=name,
        reason=f"{count} parts{kind} were {what} in the last {limit.in_parts}, "
        f"more than the {limit.more_than} that limit {name} allows",
        request_stop=limit.stop,
        count=count,
        window_parts=limit.in_parts,
        policy_hash=policy_hash,
        raised_at=decision.decided_at,
    )
