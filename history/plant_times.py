"""The plant's time zone and shifts, by which the views for business intelligence tell days."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from history.local_time import DailySpan
from streams.settings import Section

_DAY = 24 * 60
_QUARTER = 15


class WorkShift(Section):
    """A span of the day in the plant's time; it may pass midnight."""

    start: time
    """First minute, ``HH:MM``, at a quarter of an hour."""
    end: time
    """First minute after the shift, ``HH:MM``, at a quarter of an hour."""

    @field_validator("start", "end")
    @classmethod
    def _at_a_quarter(cls, value: time) -> time:
        if value.tzinfo is not None or value.second or value.microsecond or value.minute % _QUARTER:
            raise ValueError(f"{value} is not at a quarter of an hour: parts are counted by those")
        return value

    def minutes(self) -> range:
        """The shift's minutes since midnight, beyond 1440 where it passes midnight."""
        start, end = (at.hour * 60 + at.minute for at in (self.start, self.end))
        return range(start, end if end > start else end + _DAY)


class PlantTimes(Section):
    """How a plant tells its days and shifts.

    >>> PlantTimes(time_zone="Europe/Berlin").shifts
    {}
    """

    time_zone: str = "UTC"
    """IANA name of the plant's time zone, such as ``Europe/Berlin``."""
    shifts: dict[str, WorkShift] = Field(default_factory=dict, max_length=16)
    """Shifts by name; they may leave gaps and must not overlap."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"{value!r} is no IANA time zone: write a name such as Europe/Berlin"
            ) from None
        return value

    @field_validator("shifts")
    @classmethod
    def _do_not_overlap(cls, value: dict[str, WorkShift]) -> dict[str, WorkShift]:
        for (name, one), (other, two) in combinations(value.items(), 2):
            minutes = {minute % _DAY for minute in one.minutes()}
            if minutes & {minute % _DAY for minute in two.minutes()}:
                raise ValueError(f"shifts {name!r} and {other!r} overlap: a part would count twice")
        return value

    def shift_at(self, moment: datetime) -> tuple[str, datetime]:
        """The shift at a moment and its first minute in UTC; outside of shifts the local day.

        >>> PlantTimes().shift_at(datetime(2026, 11, 23, 6, 30, tzinfo=UTC))[1].isoformat()
        '2026-11-23T00:00:00+00:00'
        """
        zone = ZoneInfo(self.time_zone)
        local = moment.astimezone(zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        minute = local.hour * 60 + local.minute
        for name, shift in self.shifts.items():
            span = shift.minutes()
            for days_back in (0, 1):
                if minute + days_back * _DAY in span:
                    start = midnight + timedelta(days=-days_back, minutes=span.start)
                    return name, start.replace(tzinfo=zone).astimezone(UTC)
        return "day", midnight.replace(tzinfo=zone).astimezone(UTC)

    def span(self, day: date, days: int = 1, shift: str = "") -> tuple[datetime, datetime]:
        """First moment of a day, of some days or of a day's shift, and the first one after it.

        >>> [at.hour for at in PlantTimes(time_zone="Europe/Berlin").span(date(2026, 11, 23))]
        [23, 23]

        Raises:
            KeyError: there is no such shift.
        """
        midnight = datetime.combine(day, time.min)
        first, last = midnight, midnight + timedelta(days=days)
        if shift:
            inside = self.shifts[shift].minutes()
            first = midnight + timedelta(minutes=inside.start)
            last = midnight + timedelta(minutes=inside.stop)
        zone = ZoneInfo(self.time_zone)
        return first.replace(tzinfo=zone).astimezone(UTC), last.replace(tzinfo=zone).astimezone(UTC)

    def daily(self, shift: str) -> DailySpan:
        """A shift as a span of every day. Raises ``KeyError`` for one that there is not."""
        found = self.shifts[shift]
        return DailySpan(self.time_zone, found.start, found.end)
