"""What the limits role remembers of a line's parts, and what one more changes: no input, no output.

Each part counts once. Its first decision in time counts; the gateway's own watchdog overrules it,
because what the watchdog says it has written to the PLC.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from uuid import UUID, uuid5

from streams.codes import DecisionSource
from streams.envelope import Message, to_message
from streams.events import Alert, CountedPart, Decision, GoldenCheck
from streams.ports import Policy
from streams.roles.config import LimitsConfig
from streams.roles.drift.alerts import StationWatches

_GOLDEN = UUID("7d0c3f1e-52a4-5c7b-8a86-0e6f4b9d2c31")

Key = tuple[str, str]
"""Line and product."""


class PartMemory:
    """The last parts of one product on one line, oldest first, at most ``capacity``."""

    def __init__(self, capacity: int, entries: Iterable[CountedPart] = ()) -> None:
        """``entries`` come from the changelog in any order; those out of reach are left out."""
        self.capacity = capacity
        self._parts: OrderedDict[UUID, CountedPart] = OrderedDict()
        ordered = sorted(entries, key=lambda part: part.number)
        self.number = ordered[-1].number if ordered else 0
        """Number of the newest part."""
        self.exceeded = frozenset(ordered[-1].exceeded if ordered else ())
        for entry in ordered:
            if entry.number > self.number - capacity:
                self._parts[entry.frame_id] = entry
        self.watches = StationWatches.restored(ordered)

    def __len__(self) -> int:
        return len(self._parts)

    def get(self, frame_id: UUID) -> CountedPart | None:
        """The part, if it is among those remembered."""
        return self._parts.get(frame_id)

    def last(self, count: int) -> tuple[CountedPart, ...]:
        """The newest ``count`` parts, newest last."""
        newest = tuple(islice(reversed(self._parts.values()), max(count, 0)))
        return newest[::-1]

    def put(self, entry: CountedPart) -> None:
        """A new part, or another decision for one that is there; the oldest is forgotten."""
        if entry.frame_id not in self._parts:
            self.number = entry.number
            self.exceeded = frozenset(entry.exceeded)
        self._parts[entry.frame_id] = entry
        while len(self._parts) > self.capacity:
            self._parts.popitem(last=False)


@dataclass(frozen=True)
class CountStep:
    """What one decision changed: alerts to publish, then the entry for the changelog."""

    entry: CountedPart | None = None
    slot: int = 0
    alerts: tuple[Alert, ...] = ()


def count(
    memory: PartMemory,
    decision: Decision,
    policy: Policy,
    config: LimitsConfig,
    now: datetime,
) -> CountStep:
    """Count one decision into ``memory``; a redelivered, late or unknown one changes nothing."""
    needed = policy.window_parts
    if decision.is_late or needed is None:
        return CountStep()
    if decision.golden is not None:
        alerts = golden_alerts(decision, decision.golden)
        return CountStep(alerts=tuple(in_time(a, config.stop_within_s, now) for a in alerts))
    memory.capacity = max(config.remembered_parts, needed)
    known = memory.get(decision.frame_id)
    if known is not None:
        return _again(memory, known, decision)
    before = memory.last(needed - 1)
    verdict = policy.observe(decision, before, memory.exceeded)
    entry = CountedPart(
        line=decision.line,
        product_id=decision.product_id,
        number=memory.number + 1,
        frame_id=decision.frame_id,
        source=decision.source,
        action=decision.action,
        class_name=decision.class_name,
        exceeded=tuple(sorted(verdict.exceeded)),
        decided_at=decision.decided_at,
    )
    entry, drifts = memory.watches.observe(
        entry, decision, config.drift_alpha, memory.capacity // 4
    )
    memory.put(entry)
    alerts = tuple(in_time(alert, config.stop_within_s, now) for alert in verdict.alerts)
    return CountStep(entry, entry.number % memory.capacity, (*alerts, *drifts))


def golden_alerts(decision: Decision, check: GoldenCheck) -> tuple[Alert, ...]:
    """An alert that stops the line when a known part was judged wrongly, by whomever.

    Its id derives from the part: redelivery, or a second wrong decision, repeats it.
    """
    if check.is_right:
        return ()
    should = " or ".join(action.value for action in check.actions)
    should += f" as {check.severity.value}" if check.severity is not None else ""
    found = f"{decision.action.value} as {decision.severity.value} ({decision.class_name or '-'})"
    return (
        Alert(
            alert_id=uuid5(_GOLDEN, str(decision.part_identity)),
            line=decision.line,
            product_id=decision.product_id,
            kind="golden",
            limit=f"golden/{decision.part_id}"[:512],
            reason=f"golden part {decision.part_id} should be {should}; "
            f"{decision.source.value} said {found}"[:2048],
            request_stop=True,
            count=1,
            policy_hash=decision.policy_hash,
            station=decision.station,
            raised_at=decision.decided_at,
        ),
    )


def _again(memory: PartMemory, known: CountedPart, decision: Decision) -> CountStep:
    """Another decision for a counted part: the watchdog's stands, at the next part it counts."""
    watchdog = DecisionSource.WATCHDOG
    if decision.source is not watchdog or known.source is watchdog:
        return CountStep()
    changes = {name: getattr(decision, name) for name in ("source", "action", "class_name")}
    entry = known.model_copy(update=changes)
    memory.put(entry)
    return CountStep(entry, entry.number % memory.capacity)


def in_time(alert: Alert, stop_within_s: float, now: datetime) -> Alert:
    """The alert; one that is noticed too late to stop the line for it does not ask to."""
    age_s = (now - alert.raised_at).total_seconds()
    if not alert.request_stop or age_s <= stop_within_s:
        return alert
    reason = f"{alert.reason}; noticed {age_s:.0f} s later: no stop requested"
    return alert.model_copy(update={"request_stop": False, "reason": reason[:2048]})


def part_message(decision: Decision) -> Message:
    """A decision for ``andon.parts``: by line and product, without region and timings."""
    inspection, classification = decision.inspection, decision.classification
    if inspection is not None:
        inspection = inspection.model_copy(update={"region": None, "timings_ms": {}})
    if classification is not None:
        classification = classification.model_copy(update={"candidates": {}, "stages": ()})
    slim = decision.model_copy(
        update={
            "inspection": inspection,
            "classification": classification,
            "timings_ms": {},
            "reason": "",
        }
    )
    return replace(to_message(slim), key=f"{slim.line}/{slim.product_id}".encode())


def entry_message(entry: CountedPart, slot: int, partition: int) -> Message:
    """A changelog record: it replaces the part that was in its slot."""
    key = f"{entry.line}/{entry.product_id}/{slot}".encode()
    return replace(to_message(entry), key=key, partition=partition)


def restored(entries: Iterable[CountedPart], remembered_parts: int) -> dict[Key, PartMemory]:
    """Memories from what the changelog holds of one partition.

    Everything there is remembered; ``count`` shortens a memory to what its policy needs.
    """
    found: dict[Key, list[CountedPart]] = {}
    for entry in entries:
        found.setdefault((entry.line, entry.product_id), []).append(entry)
    return {
        key: PartMemory(max(remembered_parts, len(parts)), parts) for key, parts in found.items()
    }
