"""The variables of conditions, read from what is known of a part."""

from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from policies.conditions.variables import MILLIMETRES, VARIABLES, Value
from policies.model import PolicyDocument
from policies.zones import ZoneMap
from streams.events import Region
from streams.ports import Situation

_NO_REGION = Region(image_height=0, image_width=0, mask_height=0, mask_width=0, mask_rle="")


class Measurements:
    """Reads the variables that a policy uses; a value that is absent is 0 or ''.

    Args:
        document: whose zones and shifts count.
        names: the variables that are read.
        scale: millimetres per pixel at a station, None without a scale.
    """

    def __init__(
        self,
        document: PolicyDocument,
        names: frozenset[str],
        scale: Callable[[str], float | None],
    ) -> None:
        self.scale = scale
        self._zones = ZoneMap(document.zones)
        self._shifts = [
            (name, _minutes(s.start), _minutes(s.end))
            for name, s in sorted(document.shifts.items())
        ]
        self._timezone = ZoneInfo(document.timezone)
        readers: Mapping[str, Callable[[Situation], Value]] = {
            "class": lambda s: s.classification.class_name if s.classification else "",
            "confidence": lambda s: s.classification.confidence if s.classification else 0.0,
            "score": lambda s: s.inspection.score if s.inspection else 0.0,
            "p_value": lambda s: s.inspection.p_value if s.inspection else 1.0,
            "area_mm2": lambda s: _region(s).area_px * (self.scale(s.station) or 0.0) ** 2,
            "longest_mm": lambda s: _region(s).longest_side_px * (self.scale(s.station) or 0.0),
            "area_px": lambda s: _region(s).area_px,
            "longest_px": lambda s: _region(s).longest_side_px,
            "count": lambda s: float(_region(s).count),
            "zone": lambda s: self._zones.zone_of(s, self.scale(s.station)),
            "station": lambda s: s.station,
            "shot": lambda s: s.shot,
            "lot": lambda s: s.lot_id,
            "shift": lambda s: self.shift_at(s.captured_at),
        }
        self._readers = tuple((name, readers[name]) for name in VARIABLES if name in names)

    def of(self, situation: Situation) -> dict[str, Value]:
        """The values of the names in use."""
        return {name: read(situation) for name, read in self._readers}

    def known(self, situation: Situation) -> dict[str, Value]:
        """The same without millimetres at a station that has no scale."""
        scaled = self.scale(situation.station) is not None
        return {n: v for n, v in self.of(situation).items() if scaled or n not in MILLIMETRES}

    def shift_at(self, moment: datetime | None) -> str:
        """The shift in force; '' outside every shift or without a time."""
        if moment is None:
            return ""
        local = moment.astimezone(self._timezone)
        minute = local.hour * 60 + local.minute
        for name, start, end in self._shifts:
            inside = start <= minute < end if start < end else minute >= start or minute < end
            if inside:
                return name
        return ""


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _region(situation: Situation) -> Region:
    return (situation.inspection and situation.inspection.region) or _NO_REGION
