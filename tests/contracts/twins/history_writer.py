"""The twin of ``streams.ports.HistoryWriter``: dictionaries by each event's own identity."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.changeovers import ChangeoverStep
from streams.errors import UnavailableError
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Event,
    Review,
    ShotVerdict,
)


@dataclass
class TwinHistory:
    """``streams.ports.HistoryWriter`` in memory; the first row of an identity stands.

    It can be down, and can refuse a part for ever.
    """

    down: bool = False
    refuses: str = ""
    writes: list[int] = field(default_factory=list)
    anomalies: dict[object, Anomaly] = field(default_factory=dict)
    decisions: dict[object, Decision] = field(default_factory=dict)
    verdicts: dict[object, ShotVerdict] = field(default_factory=dict)
    acks: dict[object, Acknowledgement] = field(default_factory=dict)
    reviews: dict[object, Review] = field(default_factory=dict)
    letters: dict[object, tuple[DeadLetter, str]] = field(default_factory=dict)
    alerts: dict[object, Alert] = field(default_factory=dict)
    changeovers: dict[object, ChangeoverStep] = field(default_factory=dict)

    def _check(self, events: Sequence[Event]) -> None:
        if self.down:
            raise UnavailableError("PostgreSQL is away")
        self.writes.append(len(events))
        if self.refuses and any(getattr(e, "part_id", "") == self.refuses for e in events):
            raise ValueError("a row that no table can hold")

    async def add_anomalies(self, events: Sequence[Anomaly]) -> None:
        self._check(events)
        self.anomalies = {
            (event.frame.frame_id, event.reason): event for event in events
        } | self.anomalies

    async def add_decisions(self, events: Sequence[Decision]) -> None:
        self._check(events)
        self.decisions = {event.result_id: event for event in events} | self.decisions

    async def add_verdicts(self, events: Sequence[ShotVerdict]) -> None:
        self._check(events)
        self.verdicts = {event.result_id: event for event in events} | self.verdicts

    async def add_acknowledgements(self, events: Sequence[Acknowledgement]) -> None:
        self._check(events)
        self.acks = {(event.result_id, event.outcome): event for event in events} | self.acks

    async def add_reviews(self, events: Sequence[Review]) -> None:
        self._check(events)
        self.reviews = {event.review_id: event for event in events} | self.reviews

    async def add_dead_letters(self, events: Sequence[tuple[DeadLetter, str]]) -> None:
        self._check([letter for letter, _ in events])
        self.letters = {letter.letter_id: (letter, key) for letter, key in events} | self.letters

    async def add_alerts(self, events: Sequence[Alert]) -> None:
        self._check(events)
        self.alerts = {event.alert_id: event for event in events} | self.alerts

    async def add_changeovers(self, events: Sequence[ChangeoverStep]) -> None:
        self._check(events)
        self.changeovers = {event.step_id: event for event in events} | self.changeovers
