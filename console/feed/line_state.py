"""The state of the lines, made of decisions, acknowledgements and alerts: bounded, and
pure but for one line in the log.

Whatever comes twice changes nothing, so that a log may be read again from anywhere.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from console.feed.positions import Partition
from streams.codes import AckOutcome, Action, DecisionSource
from streams.events import Acknowledgement, Alert, Decision

PARTS: Final = 500
"""Parts that are remembered of each line, newest last."""
LINES: Final = 256
"""Lines that are remembered, as many as a topic may have partitions; others' names end here."""
ALERTS_KEPT: Final = 50
HEADROOMS: Final = 100
"""Parts over which the least and the middle headroom of a line are told."""
_MOST_DECISIONS: Final = 8
_ORDER: Final = list(DecisionSource)
OPEN: Final = 2
"""Rank of a result that nobody has answered for; the PLC was given those before it."""
_WRITTEN: Final = (AckOutcome.UNACKNOWLEDGED, AckOutcome.LATE)
log = structlog.get_logger(__name__)
ShiftAt = Callable[[datetime], tuple[str, datetime]]
"""The shift at a moment, and when it began: ``history.plant_times.PlantTimes.shift_at``."""


@dataclass(slots=True)
class LivePart:
    """One part, as far as it was heard of."""

    identity: UUID
    decisions: dict[UUID, Decision] = field(default_factory=dict)
    answers: dict[UUID, Acknowledgement] = field(default_factory=dict)
    """Result -> the most that the PLC is known to have done with it."""
    records: list[tuple[Partition, int]] = field(default_factory=list)
    """The Kafka records that it is made of."""
    changed: int = 0
    """Number of its last change, over all lines."""

    @property
    def decision(self) -> Decision | None:
        """The effective one, as the history tells it: what the PLC took, else what was written,
        else the first source that was in time."""
        return min(self.decisions.values(), key=self._place, default=None)

    @property
    def acknowledgement(self) -> Acknowledgement | None:
        """What became of the effective decision, else the most that was heard of another one."""
        decision = self.decision
        own = self.answers.get(decision.result_id) if decision is not None else None
        return own or min(self.answers.values(), key=answer_rank, default=None)

    def _place(self, decision: Decision) -> tuple[int, bool, int, int]:
        rank = answer_rank(self.answers.get(decision.result_id))
        return min(rank, OPEN), decision.is_late, rank, _ORDER.index(decision.source)

    @property
    def pictured(self) -> UUID:
        """The frame whose picture tells most: of several shots the first that was judged alike."""
        decision = self.decision
        for shot in decision.shots if decision else ():
            if decision and shot.frame_id and shot.action is decision.action:
                return shot.frame_id
        return decision.frame_id if decision else self.identity

    @property
    def headroom_ms(self) -> float | None:
        """How much of the result window was left when the result was written."""
        told = self.acknowledgement
        if told is None or told.trigger_to_write_ms is None:
            return None
        return told.result_window_ms - told.trigger_to_write_ms


@dataclass
class LiveLine:
    """One line: its last parts, and what the shift has made so far."""

    name: str
    parts: OrderedDict[UUID, LivePart] = field(default_factory=OrderedDict)
    """By identity, in the order of their first decision or acknowledgement."""
    shift: str = ""
    shift_began: datetime | None = None
    shift_turned: int = 0
    """Number of the change by which the shift began before it had a part."""
    actions: Counter[str] = field(default_factory=Counter)
    """Parts of the shift by action; known (golden) parts do not count."""
    missed: int = 0
    """Parts of the shift that the PLC did not take a result of."""
    headrooms: deque[float] = field(default_factory=lambda: deque(maxlen=HEADROOMS))
    changed: int = 0

    @property
    def total(self) -> int:
        """Parts of the shift."""
        return self.actions.total()

    @property
    def passed_share(self) -> float | None:
        """Share of the shift's parts that passed; None without parts."""
        return self.actions[Action.PASS.value] / self.total if self.total else None

    @property
    def least_headroom_ms(self) -> float | None:
        """The tightest of the last parts."""
        return min(self.headrooms, default=None)

    @property
    def middle_headroom_ms(self) -> float | None:
        """The median of the last parts."""
        found = sorted(self.headrooms)
        return found[len(found) // 2] if found else None

    def newest(self, count: int) -> list[LivePart]:
        """The last decided parts, newest first."""
        found: list[LivePart] = []
        for part in reversed(self.parts.values()):
            if part.decisions:
                found.append(part)
            if len(found) == count:
                break
        return found

    def newest_stopped(self) -> LivePart | None:
        """The last part that did not pass, else the last one."""
        decided = self.newest(PARTS)
        stopped = (p for p in decided if p.decision and p.decision.action is not Action.PASS)
        return next(stopped, decided[0] if decided else None)


class LineState:
    """All lines.

    Args:
        shift_at: tells the shifts apart.
    """

    def __init__(self, shift_at: ShiftAt) -> None:
        self.lines: dict[str, LiveLine] = {}
        self.alerts: OrderedDict[UUID, Alert] = OrderedDict()
        self.alerts_changed = 0
        self.alert_records: dict[UUID, tuple[Partition, int]] = {}
        self.changes = 0
        """Counts changes, so that a reader asks for what came after one."""
        self.forgotten: dict[Partition, int] = {}
        """How far the records of parts go that are remembered no more."""
        self._shift_at = shift_at
        self._is_full = False

    def take(
        self, event: Decision | Acknowledgement | Alert, record: tuple[Partition, int]
    ) -> None:
        """One more event, as it stood at a partition's offset."""
        if isinstance(event, Alert):
            self._take_alert(event, record)
        elif event.line in self.lines or len(self.lines) < LINES:
            self._take_part(event, record)
        elif not self._is_full:
            self._is_full = True
            log.warning("console.line_not_shown", line=event.line, lines=LINES)

    def begin_shifts(self, now: datetime) -> None:
        """Lines that stand still begin the shift of this moment, too, with nothing made."""
        for line in self.lines.values():
            before = line.shift_began
            self._enter_shift(line, now)
            if line.shift_began != before:
                self.changes += 1
                line.changed = line.shift_turned = self.changes

    def line_names(self) -> list[str]:
        """The lines by name."""
        return sorted(name for name, line in self.lines.items() if line.newest(1))

    def find(self, part_id: str) -> list[LivePart]:
        """The parts of a serial number, newest first."""
        found = [
            part
            for line in self.lines.values()
            for part in line.newest(PARTS)
            if part.decision and part.decision.part_id == part_id
        ]
        return sorted(found, key=lambda part: part.changed, reverse=True)

    def part(self, identity: UUID) -> LivePart | None:
        """A part by its identity."""
        found = (line.parts[identity] for line in self.lines.values() if identity in line.parts)
        return next(found, None)

    def changed_since(self, change: int) -> Iterator[tuple[LiveLine, list[LivePart]]]:
        """Each line that changed after a change, with its parts that did, oldest first."""
        for line in self.lines.values():
            if line.changed > change:
                yield line, [p for p in line.parts.values() if p.changed > change and p.decisions]

    def _take_alert(self, alert: Alert, record: tuple[Partition, int]) -> None:
        self.changes += 1
        self.alerts[alert.alert_id] = alert
        self.alert_records[alert.alert_id] = record
        self.alerts_changed = self.changes
        while len(self.alerts) > ALERTS_KEPT:
            gone, _ = self.alerts.popitem(last=False)
            self.alert_records.pop(gone, None)

    def _take_part(self, event: Decision | Acknowledgement, record: tuple[Partition, int]) -> None:
        line = self.lines.setdefault(event.line, LiveLine(event.line))
        identity = event.part_identity
        part = line.parts.get(identity) or LivePart(identity)
        if record in part.records:
            return
        self._enter_shift(line, event.captured_at)
        before = self._counted(line, part)
        if isinstance(event, Decision):
            if len(part.decisions) < _MOST_DECISIONS:
                part.decisions[event.result_id] = event
        else:
            self._take_answer(line, part, event)
        part.records.append(record)
        self._count(line, before, self._counted(line, part))
        self.changes += 1
        part.changed = line.changed = self.changes
        line.parts.setdefault(identity, part)
        while len(line.parts) > PARTS:
            _, gone = line.parts.popitem(last=False)
            for partition, offset in gone.records:
                self.forgotten[partition] = max(self.forgotten.get(partition, 0), offset + 1)

    def _take_answer(self, line: LiveLine, part: LivePart, told: Acknowledgement) -> None:
        """A result that the PLC took says more than one that came too late for it."""
        known = part.answers.get(told.result_id)
        if known is None and len(part.answers) == _MOST_DECISIONS:
            return
        if known is None or answer_rank(told) < answer_rank(known):
            part.answers[told.result_id] = told
            if part.acknowledgement is told and (left := part.headroom_ms) is not None:
                line.headrooms.append(left)

    def _enter_shift(self, line: LiveLine, moment: datetime) -> None:
        began = line.shift_began
        if began is not None and began <= moment < began + timedelta(minutes=15):
            return  # shifts begin and end at quarters of an hour: no need to look the zone up
        name, start = self._shift_at(moment)
        if began is None or start > began:
            line.shift, line.shift_began = name, start
            line.actions, line.missed = Counter(), 0

    def _counted(self, line: LiveLine, part: LivePart) -> tuple[str, bool] | None:
        """Under what a part counts in its line's shift; None where it does not."""
        decision = part.decision
        if decision is None or decision.golden is not None or line.shift_began is None:
            return None
        if decision.captured_at < line.shift_began:
            return None
        told = part.acknowledgement
        is_missed = told is not None and told.outcome is not AckOutcome.ACKNOWLEDGED
        return decision.action.value, is_missed

    def _count(
        self, line: LiveLine, before: tuple[str, bool] | None, after: tuple[str, bool] | None
    ) -> None:
        for counted, step in ((before, -1), (after, 1)):
            if counted is not None:
                line.actions[counted[0]] += step
                line.missed += step * counted[1]


def answer_rank(told: Acknowledgement | None) -> int:
    """How far a result came, the furthest first: ``outcome_rank`` of the history's database."""
    if told is None:
        return OPEN
    if told.outcome is AckOutcome.ACKNOWLEDGED:
        return 0
    if told.outcome in _WRITTEN and told.written_at is not None:
        return 1
    return OPEN if told.outcome is AckOutcome.UNACKNOWLEDGED else 3


def newest_of_limits(alerts: Iterable[Alert]) -> list[Alert]:
    """The first of each line, product and limit: whoever looks after it looks after those before.

    Args:
        alerts: newest first.
    """
    found: dict[tuple[str, str, str], Alert] = {}
    for alert in alerts:
        found.setdefault((alert.line, alert.product_id, alert.limit), alert)
    return list(found.values())
