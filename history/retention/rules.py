"""How long the objects of each class of data are kept. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from history.records import Record
from streams.ids import minted_at
from streams.settings import Section

Days = Annotated[int, Field(ge=0, le=36_500)]


class DataClass(StrEnum):
    """A class of data with a time of its own."""

    PASSED = "passed"
    """Pictures of parts that passed and that nobody reviewed, such as those of the audit sample."""
    STOPPED = "stopped"
    """Pictures of parts that did not pass, and of those of which no decision is recorded."""
    REVIEWED = "reviewed"
    """Pictures of parts that somebody reviewed: what lessons and exemplars are drawn from."""
    CAPTURED = "captured"
    """Pictures too large for Kafka, below ``frames/``, as the gateway stored them."""
    DEAD = "dead"
    """The original bytes of dead letters, below ``dead/``."""


class RetentionDays(Section):
    """Days for which each class of data is kept; 0 keeps it for ever."""

    passed_days: Days = 30
    """Pictures of parts that passed and that nobody reviewed, days; 0: for ever."""
    stopped_days: Days = 730
    """Pictures of parts that did not pass, and of those without a decision, days; 0: for ever."""
    reviewed_days: Days = 3650
    """Pictures of reviewed parts, days; 0: for ever."""
    captured_days: Days = 14
    """Pictures too large for Kafka, as they were captured, days; 0: for ever. Longer than Kafka
    keeps frames: a worker that was away reads them."""
    dead_days: Days = 90
    """Original bytes of dead letters, days; 0: for ever."""
    rows_days: Days = 0
    """Rows of events and of their parts, by whole months, days; 0: for ever. Counts stay."""

    def of(self, kind: DataClass) -> timedelta | None:
        """How long that class is kept; None for ever."""
        days: int = getattr(self, f"{kind.value}_days")
        return timedelta(days=days) if days else None

    def ends(self, kinds: Iterable[DataClass], now: datetime) -> datetime | None:
        """What is younger than this none of the classes gives up; None where all keep for ever."""
        kept = [time for kind in kinds if (time := self.of(kind)) is not None]
        return now - min(kept) if kept else None

    def is_over(self, kind: DataClass, since: datetime, now: datetime) -> bool:
        """Whether data of that class and of that time is to be removed.

        >>> from datetime import UTC
        >>> now = datetime(2026, 11, 29, tzinfo=UTC)
        >>> RetentionDays().is_over(DataClass.PASSED, datetime(2026, 10, 29, tzinfo=UTC), now)
        True
        >>> RetentionDays().is_over(DataClass.STOPPED, datetime(2026, 10, 29, tzinfo=UTC), now)
        False
        """
        kept = self.of(kind)
        return kept is not None and now - since > kept


class PartTrace(Record):
    """What decides how long the pictures of a frame are kept."""

    frame_id: UUID
    action: str | None
    """Of the part's effective decision; None where none is recorded."""
    is_reviewed: bool
    recorded_at: datetime | None = None
    """By the database's clock; None where nothing of the frame is on record any more."""

    @property
    def since(self) -> datetime:
        """Since when its pictures are kept. The clock of a gateway may be years off, and the frame
        id with it: it counts only where nothing else tells."""
        return self.recorded_at or minted_at(self.frame_id)

    @property
    def kind(self) -> DataClass:
        """The class of the frame's pictures; a frame of which nothing is known is kept longer."""
        if self.is_reviewed:
            return DataClass.REVIEWED
        return DataClass.PASSED if self.action == "pass" else DataClass.STOPPED


def expired(
    traces: Iterable[PartTrace], days: RetentionDays, now: datetime
) -> dict[DataClass, list[UUID]]:
    """The frames whose pictures are to be removed, by class."""
    found: dict[DataClass, list[UUID]] = {}
    for trace in traces:
        if days.is_over(trace.kind, trace.since, now):
            found.setdefault(trace.kind, []).append(trace.frame_id)
    return found


def day_of(folder: str) -> datetime | None:
    """The UTC day of a prefix such as ``inspections/2026/11/23/``; None for another key.

    >>> day_of("frames/2026/11/23/")
    datetime.datetime(2026, 11, 23, 0, 0, tzinfo=datetime.timezone.utc)
    """
    words = folder.rstrip("/").split("/")[-3:]
    try:
        return datetime.strptime("/".join(words) + "+0000", "%Y/%m/%d%z")
    except ValueError:
        return None


def days_before(folders: Iterable[str], ends: datetime, now: datetime) -> list[str]:
    """Of prefixes of days those that hold something older than ``ends``, oldest first; and those of
    days to come, whose pictures a gateway with a clock that was ahead has taken.

    >>> ends, now = (datetime.fromisoformat(f"2026-11-{day}T00:00Z") for day in (20, 24))
    >>> days_before(["a/2026/11/01/", "a/2026/11/23/", "a/2099/01/01/"], ends, now)
    ['a/2026/11/01/', 'a/2099/01/01/']
    """
    dated = [(day, folder) for folder in folders if (day := day_of(folder)) is not None]
    return [folder for day, folder in sorted(dated) if day < ends or day > now]
