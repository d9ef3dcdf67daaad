"""The plant's time zone and shifts, by which the views for business intelligence tell days."""

from datetime import time
from itertools import combinations
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

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
