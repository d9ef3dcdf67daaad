"""What the line did with defects and with good parts: two shares, each with its interval. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streams.codes import Action, Severity


@dataclass(frozen=True)
class JudgedPart:
    """What was done with one photographed part, and what would have been right."""

    part: str
    """The part photographed; several pictures may show it."""
    label: str
    severity: Severity
    """What the part truly is, by the policy."""
    action: Action | None
    """None where nobody acted."""


@dataclass(frozen=True)
class Share:
    """So many of so many pictures; the 95 % interval is by part."""

    count: int
    total: int
    parts: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: Sequence[bool], parts: Sequence[str]) -> "Share":
        """The share of ``hits``; pictures of one part depend on each other.

        Parts are resampled; where all pictures agree nothing is to be resampled, and each part
        counts as one draw (Clopper-Pearson).
        """
        from lab.metrics import binomial_interval, group_bootstrap  # SciPy takes a second to load

        count, total, different = sum(hits), len(hits), len(set(parts))
        if 0 < count < total and different > 1:
            low, high = group_bootstrap(hits, parts)
        else:
            low, high = binomial_interval(different if count else 0, different)
        return cls(count, total, different, low, high)

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.count / self.total if self.total else None

    def as_json(self) -> dict[str, object]:
        """The numbers and the share, rounded to four decimals."""
        value = None if self.value is None else round(self.value, 4)
        interval = [round(self.low, 4), round(self.high, 4)]
        return {
            "count": self.count,
            "of": self.total,
            "parts": self.parts,
            "share": value,
            "interval": interval,
        }

    def __str__(self) -> str:
        if self.value is None:
            return "none played"
        shown = (
            f"{self.value:.1%} ({self.count} of {self.total}; {self.low:.1%} to {self.high:.1%})"
        )
        return shown


@dataclass(frozen=True)
class Verdicts:
    """The two figures that a plant asks for, and the first of them by class."""

    defects_passed: Share
    """Of the parts whose severity is defect, those that passed."""
    good_stopped: Share
    """Of the good parts, those that did not pass."""
    passed_by_class: dict[str, Share]

    @classmethod
    def of(cls, verdicts: Iterable[JudgedPart]) -> "Verdicts":
        """Count; parts of other severities count in neither figure."""
        known = list(verdicts)
        defects = [v for v in known if v.severity is Severity.DEFECT]
        good = [v for v in known if v.severity is Severity.NORMAL]
        classes = sorted({v.label for v in defects})
        by_class = {c: _passed([v for v in defects if v.label == c]) for c in classes}
        stopped = [v.action is not Action.PASS for v in good]
        return cls(_passed(defects), Share.of(stopped, [v.part for v in good]), by_class)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "defects_that_pass": self.defects_passed.as_json(),
            "good_that_do_not_pass": self.good_stopped.as_json(),
            "defects_that_pass_by_class": {
                name: share.as_json() for name, share in self.passed_by_class.items()
            },
        }


def _passed(defects: Sequence[JudgedPart]) -> Share:
    return Share.of([v.action is Action.PASS for v in defects], [v.part for v in defects])
