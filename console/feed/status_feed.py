"""Follows what gateways and workers say of themselves; the last word of each process stands.

It reads one compacted topic without a consumer group and needs no database. What a browser has seen
is one number, the topic's offset.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from console.feed.followed import FollowedFeed, RecordFeed
from streams.envelope import from_message
from streams.errors import EventError
from streams.kafka.delivery import Delivery
from streams.status import ProcessStatus

log = structlog.get_logger(__name__)
PROCESSES: Final = 1000
"""Processes that are remembered, at most: those that were heard last."""
SILENT_BEATS: Final = 3.0
"""A process that has said nothing for so many of its own intervals is not heard any more."""
SILENT_S: Final = 5.0
"""And for so long at least, seconds."""
GONE_S: Final = 3600.0
"""One that ended, or fell silent, so long ago is of the past, seconds."""


@dataclass(frozen=True)
class HeardProcess:
    """The last word of one process."""

    status: ProcessStatus
    offset: int
    heard_s: float
    """When it came, by this host's monotonic clock; of what stood there before, by its own time."""

    def age_s(self, now_s: float) -> float:
        """How long ago that was, seconds."""
        return max(now_s - self.heard_s, 0.0)

    def is_silent(self, now_s: float) -> bool:
        """Whether it should have said something since; one that ended has nothing to say."""
        limit_s = max(SILENT_BEATS * self.status.every_s, SILENT_S)
        return not self.status.is_ended and self.age_s(now_s) > limit_s

    def is_up(self, now_s: float) -> bool:
        """Whether the process runs, as far as is known."""
        return not self.status.is_ended and not self.is_silent(now_s)

    def is_gone(self, now_s: float) -> bool:
        """Whether it is of the past."""
        return not self.is_up(now_s) and self.age_s(now_s) > GONE_S


class StatusFeed(FollowedFeed):
    """The processes of the lines, as they say of themselves.

    Args:
        reader: of ``andon.status`` from its beginning; it goes on over every outage.
        clock: monotonic seconds.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        reader: RecordFeed,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reader)
        self._clock, self._wall = clock, wall
        self._heard: dict[str, HeardProcess] = {}
        self._waiting: dict[bytes, Delivery] = {}
        """What came while the log is caught up with: only the last of each process is decoded."""
        self._catching_up = False
        self._changes = 0

    @property
    def changes(self) -> int:
        """Counts changes, so that a browser asks for what came after one."""
        return self._changes

    @property
    def now_s(self) -> float:
        """Now, by the clock that ``HeardProcess`` counts by."""
        return self._clock()

    def processes(self) -> list[HeardProcess]:
        """Every process, by its key."""
        return [self._heard[key] for key in sorted(self._heard)]

    def gateways(self, line: str | None = None) -> Iterator[HeardProcess]:
        """The gateways, of one line or of all."""
        for heard in self.processes():
            own = heard.status.gateway
            if own is not None and line in (None, own.line):
                yield heard

    def workers(self) -> Iterator[HeardProcess]:
        """The workers, which serve every line."""
        return (heard for heard in self.processes() if heard.status.worker is not None)

    def line_names(self) -> set[str]:
        """The lines that a gateway was heard of."""
        owned = (heard.status.gateway for heard in self._heard.values())
        return {own.line for own in owned if own is not None}

    async def run(self) -> None:
        """Follow for ever; cancel it."""
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                self._catching_up |= not self.is_fresh
                for record in records:
                    self._read(record)
                    self._waiting[record.key] = record
                if self.is_fresh and self._waiting:
                    self._take()
                    await self._tell()

    def _take(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for record in waiting.values():
            try:
                status = from_message(ProcessStatus, record.value, record.headers)
            except EventError as error:
                log.warning("console.unreadable", topic=record.topic, why=str(error)[:500])
                continue
            self._heard.pop(status.key, None)
            heard_s = self._clock() - (self._old_s(status.at) if self._catching_up else 0.0)
            self._heard[status.key] = HeardProcess(status, record.offset, heard_s)
        while len(self._heard) > PROCESSES:
            del self._heard[next(iter(self._heard))]
        self._catching_up = False
        self._changes += 1

    def _old_s(self, said_at: datetime) -> float:
        """How old a word is that stood there before we came, by the clocks of two hosts."""
        return max(self._wall() - said_at.timestamp(), 0.0)
