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
        found = self._by_clock(moment)
        local = moment.astimezone(ZoneInfo(self.time_zone))
        if not local.fold:
            return found
        # the clock went back: a shift that ended in what comes twice does not begin again
        twice = local - local.replace(fold=0).astimezone(UTC)
        before = range(1, twice // timedelta(minutes=_QUARTER) + 1)
        earlier = (self._by_clock(moment - n * timedelta(minutes=_QUARTER)) for n in before)
        return max((found, *earlier), key=lambda one: one[1])

    def _by_clock(self, moment: datetime) -> tuple[str, datetime]:
        """The shift that the plant's clock shows, whatever it showed before."""
        local = moment.astimezone(ZoneInfo(self.time_zone))
        midnight = datetime.combine(local.date(), time.min)
        minute = local.hour * 60 + local.minute
        for name, shift in self.shifts.items():
            span = shift.minutes()
            for days_back in (0, 1):
                if minute + days_back * _DAY in span:
                    return name, self._at(midnight, span.start - days_back * _DAY)
        return "day", self._at(midnight, 0)

    def _at(self, midnight: datetime, minute: int) -> datetime:
        """The first moment, in UTC, at which the plant's clock shows that minute or a later one.

        A clock that goes forward leaves minutes out, and one that goes back shows some twice.
        """
        zone, wanted = ZoneInfo(self.time_zone), midnight + timedelta(minutes=minute)
        first = wanted.replace(tzinfo=zone, fold=1).astimezone(UTC)
        last = wanted.replace(tzinfo=zone).astimezone(UTC)
        while first < last and first.astimezone(zone).replace(tzinfo=None) < wanted:
            first += timedelta(minutes=_QUARTER)
        return min(first, last)

    def span(self, day: date, days: int = 1, shift: str = "") -> tuple[datetime, datetime]:
        """First moment of a day, of some days or of a day's shift, and the first one after it.

        >>> [at.hour for at in PlantTimes(time_zone="Europe/Berlin").span(date(2026, 11, 23))]
        [23, 23]

        Raises:
            KeyError: there is no such shift.
        """
        midnight = datetime.combine(day, time.min)
        inside = self.shifts[shift].minutes() if shift else range(days * _DAY)
        return self._at(midnight, inside.start), self._at(midnight, inside.stop)

    def daily(self, shift: str) -> DailySpan:
        """A shift as a span of every day. Raises ``KeyError`` for one that there is not."""
        found = self.shifts[shift]
        return DailySpan(self.time_zone, found.start, found.end)
