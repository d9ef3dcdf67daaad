"""What a condition may look at: the names, their units, and their values for one situation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from policies.model import PolicyDocument
from policies.zones import ZoneMap
from streams.ports import Situation

Value = str | float


@dataclass(frozen=True)
class Variable:
    """One name of the condition language. ``power`` is the exponent of the millimetre."""

    kind: type[str] | type[float]
    meaning: str
    unit: str = ""
    power: int | None = None


VARIABLES: dict[str, Variable] = {
    "class": Variable(str, "what the classifier answered: a class, `normal` or `unknown`"),
    "confidence": Variable(float, "confidence of the answer, 0 to 1"),
    "score": Variable(float, "the expert's anomaly score; its scale is the artifact's"),
    "p_value": Variable(float, "share of held-out normals at least as odd; small is odd"),
    "area_mm2": Variable(float, "area of the odd region", "mm²", 2),
    "longest_mm": Variable(float, "longest side of the longest piece", "mm", 1),
    "area_px": Variable(float, "area of the odd region", "px"),
    "longest_px": Variable(float, "longest side of the longest piece", "px"),
    "count": Variable(float, "pieces of the odd region"),
    "zone": Variable(str, "first zone of the list that the region touches, or ''"),
    "station": Variable(str, "the station's name"),
    "lot": Variable(str, "the lot's id, or ''"),
    "shift": Variable(str, "name of the shift in which the part was photographed, or ''"),
}
MILLIMETRES = frozenset(name for name, v in VARIABLES.items() if v.power)


class Measures:
    """Reads the variables that a policy uses from a situation. Total: absent things are 0 or ''."""

    def __init__(self, document: PolicyDocument, names: frozenset[str]) -> None:
        self._scale = document.mm_per_px
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
            "area_mm2": lambda s: _area(s) * (self.scale(s.station) or 0.0) ** 2,
            "longest_mm": lambda s: _longest(s) * (self.scale(s.station) or 0.0),
            "area_px": _area,
            "longest_px": _longest,
            "count": _count,
            "zone": lambda s: self._zones.zone_of(s, self.scale(s.station)),
            "station": lambda s: s.station,
            "lot": lambda s: s.lot_id,
            "shift": lambda s: self.shift_at(s.captured_at),
        }
        self._readers = tuple((name, readers[name]) for name in VARIABLES if name in names)

    def of(self, situation: Situation) -> dict[str, Value]:
        """The values of the names in use."""
        return {name: read(situation) for name, read in self._readers}

    def scale(self, station: str) -> float | None:
        """Millimetres per pixel at the station, or None without a scale."""
        return self._scale.get(station, self._scale.get("default"))

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


def _area(situation: Situation) -> float:
    region = situation.inspection.region if situation.inspection else None
    return region.area_px if region else 0.0


def _longest(situation: Situation) -> float:
    region = situation.inspection.region if situation.inspection else None
    return region.longest_side_px if region else 0.0


def _count(situation: Situation) -> float:
    region = situation.inspection.region if situation.inspection else None
    return float(region.count) if region else 0.0
