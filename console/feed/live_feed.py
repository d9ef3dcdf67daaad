"""Follows Kafka and keeps the state of the lines; many browsers wait for its changes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from console.feed.followed import FollowedFeed, RecordFeed
from console.feed.line_state import PARTS, LineState, LivePart, ShiftAt
from console.feed.positions import Partition, Positions, furthest, has_news
from streams.envelope import from_message
from streams.events import Acknowledgement, Alert, Decision
from streams.kafka.delivery import Delivery
from streams.topics import ACKS, ALERTS, DECISIONS

log = structlog.get_logger(__name__)
TOPICS: Final = (DECISIONS.name, ACKS.name, ALERTS.name)
_REPLAYED: Final = (DECISIONS.name, ACKS.name)
"""Of alerts the last ones are remembered, and no page shows more."""
_AT_ONCE: Final = 2
"""Browsers that Kafka is read again for at the same time; the others wait."""


@dataclass(frozen=True)
class MissedParts:
    """Some of the parts that came while a browser was away, as Kafka told of them."""

    parts: tuple[tuple[str, LivePart], ...]
    """Line and part."""
    positions: Positions
    """How far a browser is that has been given these and those before them."""
    is_whole: bool
    """False once Kafka no longer has something that the browser missed."""


class LiveFeed(FollowedFeed):
    """The state of the lines as Kafka tells it.

    Args:
        reader: of ``TOPICS``, without a consumer group; it goes on over every outage.
        shift_at: tells the shifts apart.
        now: the time on the plant's wall.
    """

    def __init__(
        self,
        reader: RecordFeed,
        shift_at: ShiftAt,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(reader)
        self.state = LineState(shift_at)
        self._shift_at, self._now = shift_at, now
        self._replays = asyncio.Semaphore(_AT_ONCE)
        self.acknowledged: dict[UUID, str] = {}
        """Alert -> who looks after it."""

    @property
    def changes(self) -> int:
        """Counts changes, so that a browser asks for what came after one."""
        return self.state.changes

    async def run(self) -> None:
        """Follow for ever; cancel it."""
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                for record in records:
                    self._take(record)
                await self._tell()

    def begin_shifts(self) -> None:
        """Have lines that stand still count the shift of this moment, and no more one before."""
        self.state.begin_shifts(self._now())

    async def nudge(self) -> None:
        """Have every browser told again what stands."""
        self.state.changes += 1
        self.state.alerts_changed = self.state.changes
        await self._tell()

    def remembers(self, since: Positions) -> bool:
        """Whether every part with something new after these positions is in memory still."""
        kept = furthest(self._reader.began, self.state.forgotten)
        return all(since.get(partition, at) >= at for partition, at in kept.items())

    async def missed(self, since: Positions) -> AsyncGenerator[MissedParts, None]:
        """What came between these positions and those that have been read by now, from Kafka.

        Decisions that were read before are read again, so that an acknowledgement that was missed
        finds its part.

        Raises:
            UnavailableError: Kafka does not answer; ask again from the last positions.
        """
        until = {p: at for p, at in self.positions.items() if p[0] in _REPLAYED}
        begins = {p: max(since.get(p, at) - _lead(p), 0) for p, at in until.items()}
        replayed, reached, first = LineState(self._shift_at), dict(since), dict[Partition, int]()
        is_whole = True
        async with self._replays, aclosing(self._reader.between(begins, until)) as polls:
            async for records in polls:
                before = replayed.changes
                for record in records:
                    partition = record.topic, record.partition
                    first.setdefault(partition, record.offset)
                    reached[partition] = max(reached.get(partition, 0), record.offset + 1)
                    _take(replayed, record)
                lost = (p for p, offset in first.items() if offset > since.get(p, offset))
                is_whole = is_whole and not any(lost)
                yield MissedParts(tuple(_news(replayed, before, since)), dict(reached), is_whole)
        unread = (p for p, at in until.items() if p not in first and since.get(p, at) < at)
        yield MissedParts((), furthest(reached, until), is_whole and not any(unread))

    def _take(self, record: Delivery) -> None:
        self._read(record)
        _take(self.state, record)


def _lead(partition: Partition) -> int:
    return PARTS if partition[0] == DECISIONS.name else 0


def _news(state: LineState, before: int, since: Positions) -> Iterator[tuple[str, LivePart]]:
    for line, parts in state.changed_since(before):
        yield from ((line.name, part) for part in parts if has_news(part.records, since))


def _take(state: LineState, record: Delivery) -> None:
    """One more record; what cannot be read is passed over."""
    try:
        if record.topic == DECISIONS.name:
            event: Decision | Acknowledgement | Alert = from_message(
                Decision, record.value, record.headers
            )
        elif record.topic == ACKS.name:
            event = from_message(Acknowledgement, record.value, record.headers)
        else:
            event = from_message(Alert, record.value, record.headers)
        state.take(event, ((record.topic, record.partition), record.offset))
    except Exception as error:  # noqa: BLE001 - nothing that a message contains ends the feed
        why = f"{type(error).__name__}: {error}"[:500]
        log.warning("console.unreadable", topic=record.topic, offset=record.offset, why=why)
