"""How many of the parts that pass are defects: rates from a random sample, with exact intervals.

A part that passed is drawn for a blind audit with a known probability, its *share*. Where every
part was drawn at the same share the reviewed ones are a simple random sample, and Clopper and
Pearson's interval is exact. Where shares differ, parts of the same share are a stratum: the rate is
that of the strata weighed by how many parts passed in each (Cochran, "Sampling Techniques", ch. 5).
Its interval adds up the intervals of the strata, each at an equal part of the level, so that the
confidence is at least what it says however few were reviewed (Bonferroni).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from policies.review.bounds import lower_bound, upper_bound, wilson_interval

C = TypeVar("C", bound="Counted")
CONFIDENCE = 0.95
MOST_EXACT: Final = 100
"""From so many cases on, and as many others, an interval is Wilson's: the exact one would add up as
many terms, which takes seconds for the parts of a month."""


class Counted(Protocol):
    """Parts that passed and were drawn at one share, as the history counts them."""

    @property
    def share(self) -> float | None: ...
    @property
    def passed(self) -> int: ...
    @property
    def drawn(self) -> int: ...
    @property
    def reviewed(self) -> int: ...
    @property
    def escapes(self) -> int: ...
    @property
    def undecided(self) -> int: ...
    @property
    def without_picture(self) -> int: ...


@dataclass(frozen=True)
class EscapeRate:
    """The share of defects among the parts that passed and could have been drawn."""

    passed: int
    """Parts that passed under a policy that draws some."""
    drawn: int
    reviewed: int
    """Drawn and blindly reviewed, with a verdict."""
    escapes: int
    """Of the reviewed: defects."""
    rate: float | None
    """Weighed by stratum; None without a review."""
    low: float
    high: float
    undecided: int = 0
    """Drawn and reviewed as ``unknown``: in no rate."""
    without_picture: int = 0
    """Drawn, and nothing is kept to be reviewed: in no rate."""
    not_audited: int = 0
    """Parts that passed under a policy that draws none, or that is not known: in no rate."""
    strata: int = 1
    """How many different shares the parts were drawn at."""


def share_interval(count: int, trials: int, level: float = 1 - CONFIDENCE) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval of a share; the whole range without trials.

    >>> [round(end, 3) for end in share_interval(42, 50)]
    [0.709, 0.928]
    """
    others = trials - count
    if not trials:
        return 0.0, 1.0
    if min(count, others) >= MOST_EXACT:
        return wilson_interval(count, trials, level)
    if count > others:
        low, high = share_interval(others, trials, level)
        return 1.0 - high, 1.0 - low
    return lower_bound(count, trials, level / 2), upper_bound(count, trials, level / 2)


def escape_rate(counts: Iterable[Counted]) -> EscapeRate:
    """The rate over all counts, with its interval at ``CONFIDENCE``."""
    strata: dict[float, list[Counted]] = {}
    outside = 0
    totals = dict.fromkeys(("drawn", "reviewed", "escapes", "undecided", "without_picture"), 0)
    for count in counts:
        if not count.share:
            outside += count.passed
            continue
        strata.setdefault(count.share, []).append(count)
        for name in totals:
            totals[name] += getattr(count, name)
    rate, low, high = _weighed(list(strata.values()), 1 - CONFIDENCE)
    return EscapeRate(
        passed=sum(count.passed for stratum in strata.values() for count in stratum),
        rate=rate,
        low=low,
        high=high,
        not_audited=outside,
        strata=len(strata),
        **totals,
    )


def rates_by(counts: Iterable[C], name: Callable[[C], str]) -> dict[str, EscapeRate]:
    """A rate for each name; names under which no part could have been drawn are left out."""
    groups: dict[str, list[C]] = {}
    for count in counts:
        if count.share:
            groups.setdefault(name(count), []).append(count)
    return {key: escape_rate(group) for key, group in sorted(groups.items())}


def _weighed(
    strata: Sequence[Sequence[Counted]], level: float
) -> tuple[float | None, float, float]:
    """Rate and interval over strata; one that nobody reviewed may hold anything."""
    found = [
        tuple(sum(getattr(c, name) for c in stratum) for name in ("passed", "reviewed", "escapes"))
        for stratum in strata
    ]
    total = sum(passed for passed, _, _ in found)
    seen = sum(passed for passed, reviewed, _ in found if reviewed)
    if not total:
        return None, 0.0, 1.0
    ends = [share_interval(k, n, level / len(found)) for _, n, k in found]
    weights = [passed / total for passed, _, _ in found]
    low, high = (sum(w * e[side] for w, e in zip(weights, ends, strict=True)) for side in (0, 1))
    rate = sum(passed / seen * k / n for passed, n, k in found if n) if seen else None
    return rate, low, min(high, 1.0)
