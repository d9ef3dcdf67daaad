"""What a page's filter asks of the history: read from the address, so that every view is a link."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from history.errors import BadQueryError
from history.filters import FrameFilter, parse_moment
from history.local_time import DailySpan
from history.plant_times import PlantTimes

WORDS: Final = ("part", "line", "station", "product", "lot", "class", "version", "policy", "shift")
CODES: Final = ("action", "severity", "source")
TIMES: Final = ("since", "until")
CHOICES: Final = ("passed", "reviewed")
NAMES: Final = (*WORDS, *CODES, *TIMES, *CHOICES)
_LONGEST: Final = 512


@dataclass(frozen=True)
class AskedFrames:
    """A filter as it was written, and as the history reads it."""

    given: Mapping[str, str]
    """What was not left empty, by name."""
    wanted: FrameFilter
    shifts: tuple[str, ...] = ()
    """Those of the plant, one of which may be asked for."""

    def link(self, path: str, **change: str) -> str:
        """The address of a page with the same filter, changed in some fields; empty ones go."""
        fields = {**self.given, **change}
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"{path}?{query}" if query else path


def read_asked(given: Mapping[str, str], plant: PlantTimes) -> AskedFrames:
    """Read a filter; a time without a zone is the plant's.

    >>> plant = PlantTimes(time_zone="Europe/Berlin")
    >>> asked = read_asked({"class": "crack", "action": "", "since": "2026-11-29"}, plant)
    >>> asked.wanted.since.isoformat(), asked.link("/history", since="")
    ('2026-11-28T23:00:00+00:00', '/history?class=crack')

    Raises:
        BadQueryError: a word that is none of its enumeration, no time, or no shift of the plant.
    """
    kept = {name: given[name].strip()[:_LONGEST] for name in NAMES if given.get(name, "").strip()}
    times = {name: moment_in(plant.time_zone, kept[name]) for name in TIMES if name in kept}
    choices = {name: _choice(name, kept[name]) for name in CHOICES if name in kept}
    wanted = FrameFilter(
        product=kept.get("product"),
        line=kept.get("line"),
        station=kept.get("station"),
        part_id=kept.get("part"),
        lot_id=kept.get("lot"),
        class_name=kept.get("class"),
        action=kept.get("action"),
        severity=kept.get("severity"),
        source=kept.get("source"),
        policy_hash=kept.get("policy"),
        expert_version=kept.get("version"),
        shift=shift_in(plant, kept.get("shift")),
        since=times.get("since"),
        until=times.get("until"),
        reviewed=choices.get("reviewed"),
        passed=choices.get("passed"),
    )
    return AskedFrames(kept, wanted, tuple(plant.shifts))


def shift_in(plant: PlantTimes, name: str | None) -> DailySpan | None:
    """The shift of that name. Raises ``BadQueryError`` where the plant has none."""
    if name is None:
        return None
    if name not in plant.shifts:
        known = ", ".join(plant.shifts) or "none"
        raise BadQueryError(f"shift {name!r} is not among those of the plant: {known}")
    return plant.daily(name)


def moment_in(time_zone: str, words: str) -> datetime:
    """The moment of ``8h``, ``2026-11-29`` or a whole time, of the plant's zone unless it says."""
    try:
        read = datetime.fromisoformat(words)
    except ValueError:
        return parse_moment(words)
    local = read if read.tzinfo else read.replace(tzinfo=ZoneInfo(time_zone))
    return parse_moment(local.isoformat())


def _choice(name: str, word: str) -> bool | None:
    """``any`` leaves it open, also on a page that asks for one of both by itself."""
    if word not in ("true", "false", "any"):
        raise BadQueryError(f"{name} {word!r} is not among true, false, any")
    return None if word == "any" else word == "true"
