"""What a candidate changes: verdicts before and after on parts that taught it nothing. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class JudgedTwice:
    """One photograph judged by the expert in force and by the candidate."""

    frame: str
    part: str
    class_name: str
    """What a person said; empty for a normal part."""
    odd_before: bool
    odd_after: bool
    score_before: float
    score_after: float
    """In thresholds: above 1 is anomalous."""

    @property
    def changed(self) -> bool:
        """Whether the candidate judges otherwise."""
        return self.odd_before != self.odd_after

    @property
    def gained(self) -> bool:
        """Whether the candidate agrees with the person where the expert in force does not."""
        return self.changed and self.odd_after == bool(self.class_name)


@dataclass(frozen=True)
class Shares:
    """Escapes and false alarms, each part weighing one."""

    defects: int
    normals: int
    """Parts."""
    escapes_before: float | None
    escapes_after: float | None
    """Share of defective parts that are not found; None without such parts."""
    alarms_before: float | None
    alarms_after: float | None
    """Share of normal parts that are found anomalous."""

    def as_json(self) -> dict[str, float | None]:
        """The figures that a version's note keeps."""
        return {
            "defective_parts": self.defects,
            "normal_parts": self.normals,
            "escapes_before": self.escapes_before,
            "escapes_after": self.escapes_after,
            "false_alarms_before": self.alarms_before,
            "false_alarms_after": self.alarms_after,
        }


def shares(verdicts: Sequence[JudgedTwice]) -> Shares:
    """Shares over parts; a part of several photographs counts by the share of them.

    >>> found = shares([JudgedTwice("f", "p", "crack", False, True, 0.5, 1.5)])
    >>> found.escapes_before, found.escapes_after, found.alarms_before
    (1.0, 0.0, None)
    """
    defects = [v for v in verdicts if v.class_name]
    normals = [v for v in verdicts if not v.class_name]
    return Shares(
        defects=len({v.part for v in defects}),
        normals=len({v.part for v in normals}),
        escapes_before=_by_part([(v.part, not v.odd_before) for v in defects]),
        escapes_after=_by_part([(v.part, not v.odd_after) for v in defects]),
        alarms_before=_by_part([(v.part, v.odd_before) for v in normals]),
        alarms_after=_by_part([(v.part, v.odd_after) for v in normals]),
    )


def by_class(verdicts: Sequence[JudgedTwice]) -> dict[str, Shares]:
    """The same of each class."""
    names = sorted({v.class_name for v in verdicts if v.class_name})
    return {name: shares([v for v in verdicts if v.class_name == name]) for name in names}


def _by_part(found: Sequence[tuple[str, bool]]) -> float | None:
    parts: dict[str, list[bool]] = defaultdict(list)
    for part, hit in found:
        parts[part].append(hit)
    return sum(sum(hits) / len(hits) for hits in parts.values()) / len(parts) if parts else None
