"""Attribute agreement: does the line judge a part alike each time, and as the reference says?

The attribute study of AIAG's manual "Measurement Systems Analysis" (4th edition, chapter III,
section C): parts of known state are judged several times. Within an appraiser (here a station of a
line) the runs of a part should agree, and they should agree with the reference. The shares of parts
have Clopper and Pearson's interval. Kappa takes off the agreement that chance would give: Cohen's
(1960) against the reference, Fleiss' (1971) among runs, here also for parts with unlike numbers
of runs. Its interval is a jackknife over parts (Efron and Tibshirani 1993, ch. 11), since the
runs of a part depend on each other.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from policies.review.escapes import share_interval

_NORMAL_QUANTILE = 1.959964
"""Of 97.5 %: two-sided intervals of 95 %."""


class Trial(NamedTuple):
    """One part judged once."""

    part: str
    accepted: bool
    reference: bool | None
    """Whether the part should be accepted; None: not known."""
    appraiser: str = "line"
    """Who judged: a station of a line."""


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 that of chance; AIAG calls .75 good, .4 poor."""

    value: float
    low: float | None
    """None where no part disagrees, so that nothing tells how sure it is; see the share then."""
    high: float | None


@dataclass(frozen=True)
class Agreement:
    """How many parts agreed in every run, with the share's 95 % interval and kappa."""

    parts: int
    agreed: int
    low: float
    high: float
    kappa: Kappa | None
    """None where it is not defined: too few parts, or all of one kind."""

    @property
    def share(self) -> float | None:
        """None without parts."""
        return self.agreed / self.parts if self.parts else None


@dataclass(frozen=True)
class Appraisal:
    """What one appraiser, or all together, did with the parts."""

    appraiser: str
    trials: int
    repeated: Agreement
    """Parts that were judged more than once: alike each time?"""
    reference: Agreement
    """Parts of known state: judged so each time? AIAG's effectiveness."""
    missed: int
    """Runs that accepted a bad part."""
    of_bad: int
    false_alarms: int
    """Runs that rejected a good part."""
    of_good: int


Runs = Sequence[Trial]


def appraise(trials: Runs) -> tuple[Appraisal, ...]:
    """Each appraiser by itself and, where there are several, all of them together (``all``).

    With all together a part agrees when every run of every appraiser does (reproducibility).
    """
    by_appraiser: dict[str, list[Trial]] = {}
    for trial in trials:
        by_appraiser.setdefault(trial.appraiser, []).append(trial)
    found = [_appraisal(name, own) for name, own in sorted(by_appraiser.items())]
    return (*found, _appraisal("all", trials)) if len(found) > 1 else tuple(found)


def _appraisal(name: str, trials: Runs) -> Appraisal:
    parts: dict[str, list[Trial]] = {}
    for trial in trials:
        parts.setdefault(trial.part, []).append(trial)
    repeated = [runs for runs in parts.values() if len(runs) > 1]
    known = [[t for t in runs if t.reference is not None] for runs in parts.values()]
    known = [runs for runs in known if runs]
    alike = sum(len({t.accepted for t in runs}) == 1 for runs in repeated)
    true = sum(all(t.accepted == t.reference for t in runs) for runs in known)
    judged = [t for runs in known for t in runs]
    bad, good = ([t for t in judged if t.reference is state] for state in (False, True))
    return Appraisal(
        appraiser=name,
        trials=len(trials),
        repeated=_agreement(repeated, alike, fleiss_kappa),
        reference=_agreement(known, true, cohen_kappa),
        missed=sum(t.accepted for t in bad),
        of_bad=len(bad),
        false_alarms=sum(not t.accepted for t in good),
        of_good=len(good),
    )


def _agreement(
    parts: Sequence[Runs], agreed: int, kappa: Callable[[Sequence[Runs]], float | None]
) -> Agreement:
    low, high = share_interval(agreed, len(parts))
    return Agreement(len(parts), agreed, low, high, _with_interval(parts, kappa))


def cohen_kappa(parts: Sequence[Runs]) -> float | None:
    """Of the runs against the references of their parts; None where chance alone agrees fully."""
    pairs = Counter((t.accepted, t.reference) for runs in parts for t in runs)
    total = pairs.total()
    if not total:
        return None
    observed = (pairs[True, True] + pairs[False, False]) / total
    said = (pairs[True, True] + pairs[True, False]) / total
    true = (pairs[True, True] + pairs[False, True]) / total
    return _beyond(observed, said * true + (1 - said) * (1 - true))


def fleiss_kappa(parts: Sequence[Runs]) -> float | None:
    """Among the runs of each part, each with two or more; None where all runs say the same."""
    if not parts:
        return None
    counts = [(sum(t.accepted for t in runs), len(runs)) for runs in parts]
    observed = sum((k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1)) for k, n in counts) / len(
        counts
    )
    accepted = sum(k for k, _ in counts) / sum(n for _, n in counts)
    return _beyond(observed, accepted**2 + (1 - accepted) ** 2)


def _beyond(observed: float, chance: float) -> float | None:
    return (observed - chance) / (1 - chance) if chance < 1 - 1e-12 else None


def _with_interval(
    parts: Sequence[Runs], kappa: Callable[[Sequence[Runs]], float | None]
) -> Kappa | None:
    """Kappa with the interval of a jackknife that leaves out one part after the other."""
    value = kappa(parts)
    if value is None:
        return None
    without = [kappa([*parts[:i], *parts[i + 1 :]]) for i in range(len(parts))]
    known = [one for one in without if one is not None]
    if len(known) < len(parts) or len(parts) < 2:
        return Kappa(value, None, None)
    mean = sum(known) / len(known)
    error = sqrt((len(known) - 1) / len(known) * sum((one - mean) ** 2 for one in known))
    if error < 1e-9:
        return Kappa(value, None, None)
    reach = _NORMAL_QUANTILE * error
    return Kappa(value, max(-1.0, value - reach), min(1.0, value + reach))
