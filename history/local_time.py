"""Days and shifts of a plant as expressions of the database, over a column of moments."""

from dataclasses import dataclass
from datetime import time

from sqlalchemy import ColumnElement, Date, Integer, and_, cast, extract, func, or_


@dataclass(frozen=True)
class DailySpan:
    """A span of every day in a time zone, as a shift is; it may pass midnight.

    One that begins when it ends is the whole day.
    """

    time_zone: str
    """IANA name."""
    start: time
    end: time

    def holds(self, moment: ColumnElement[object]) -> ColumnElement[bool]:
        """Whether a moment lies in it."""
        minute = minute_of_day(moment, self.time_zone)
        after, before = minute >= minutes(self.start), minute < minutes(self.end)
        return and_(after, before) if self.start < self.end else or_(after, before)


def minutes(at: time) -> int:
    """Minutes since midnight.

    >>> minutes(time(6, 15))
    375
    """
    return at.hour * 60 + at.minute


def local_time(moment: ColumnElement[object], time_zone: str) -> ColumnElement[object]:
    """A moment as the clock on the plant's wall shows it."""
    return func.timezone(time_zone, moment)


def local_day(moment: ColumnElement[object], time_zone: str) -> ColumnElement[object]:
    """The day of the plant's calendar."""
    return cast(local_time(moment, time_zone), Date)


def minute_of_day(moment: ColumnElement[object], time_zone: str) -> ColumnElement[int]:
    """Minutes since midnight on the plant's clock."""
    local = local_time(moment, time_zone)
    return cast(extract("hour", local) * 60 + extract("minute", local), Integer)
