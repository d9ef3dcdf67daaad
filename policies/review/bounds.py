"""Exact bounds on a share from counted cases, and tests in a sequence that keep their promise.

Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then Test" (2021): what may be done is a list
of null hypotheses "the risk is above the limit", each with a valid p-value, tested such that the
chance of a single false rejection is bounded. A loss here is 0 or 1, so that the exact binomial
tail is the p-value; Hoeffding-Bentkus, which the paper uses for losses in between, is wider.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, exp, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import Final

MOST_TRIALS: Final = 100_000
"""A search for a number of reviews ends here."""


@lru_cache(maxsize=4096)
def binomial_tail(count: int, trials: int, share: float) -> float:
    """The probability of at most ``count`` cases in ``trials`` when each has chance ``share``.

    It is the p-value of the hypothesis that the chance is ``share`` or more.

    >>> round(binomial_tail(0, 59, 0.05), 4)
    0.0485
    """
    if count >= trials or share <= 0.0:
        return 1.0
    if count < 0 or share >= 1.0:
        return 0.0
    yes, no = log(share), log1p(-share)
    terms = (_choose(trials, k) + k * yes + (trials - k) * no for k in range(count + 1))
    return min(1.0, sum(exp(term) for term in terms))


@lru_cache(maxsize=4096)
def finite_tail(count: int, trials: int, following: int, share: float) -> float:
    """The p-value of "more than ``share`` of the ``following`` cases will count".

    The reviewed and the following cases are exchangeable. Of the first cases that count, so many
    that the following ones must exceed their share, at most ``count`` fell among the reviewed.
    Along a growing set of accepted answers this holds for the whole path at once, because the path
    can enter the forbidden region only at that case.

    Args:
        count: cases that count among the reviewed.
        trials: cases reviewed.
        following: cases that the promise is about.
        share: the limit of the share among the following cases.

    >>> round(finite_tail(9, 370, 370, 0.05), 3)
    0.041
    """
    total = trials + following
    drawn = count + int(share * following + 1e-9) + 1
    if drawn > total:
        return 0.0
    possible = range(max(0, drawn - following), min(count, trials) + 1)
    ways = (_choose(trials, k) + _choose(following, drawn - k) for k in possible)
    return min(1.0, sum(exp(way - _choose(total, drawn)) for way in ways))


def upper_bound(count: int, trials: int, level: float) -> float:
    """Clopper and Pearson's one-sided bound: the share is below it at confidence ``1 - level``.

    >>> round(upper_bound(0, 59, 0.05), 4)
    0.0495
    """
    if count >= trials:
        return 1.0
    low, high = count / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if binomial_tail(count, trials, middle) > level:
            low = middle
        else:
            high = middle
    return high


def lower_bound(count: int, trials: int, level: float) -> float:
    """Clopper and Pearson's other one-sided bound: the share is above it at ``1 - level``.

    >>> lower_bound(0, 59, 0.05), round(lower_bound(5, 59, 0.05), 4)
    (0.0, 0.034)
    """
    if count <= 0:
        return 0.0
    low, high = 0.0, count / trials
    for _ in range(60):
        middle = (low + high) / 2
        if binomial_tail(count - 1, trials, middle) > 1 - level:
            low = middle
        else:
            high = middle
    return low


def wilson_interval(count: int, trials: int, level: float) -> tuple[float, float]:
    """Wilson's two-sided interval of a share with the correction for continuity (Newcombe 1998).

    Where a hundred cases or more count, and as many do not, each end is within 3 % of the width
    of Clopper and Pearson's, at a cost that does not grow with the trials.

    >>> [round(end, 4) for end in wilson_interval(940_000, 1_000_000, 0.05)]
    [0.9395, 0.9405]
    """
    z = NormalDist().inv_cdf(1 - level / 2)
    share, below = count / trials, trials - count
    middle, width = 2 * count + z * z, 2 * (trials + z * z)
    spread = z * z - 1 / trials
    low = (middle - 1 - z * sqrt(spread - 2 + 4 * share * (below + 1))) / width
    high = (middle + 1 + z * sqrt(spread + 2 + 4 * share * (below - 1))) / width
    return low, high


def trials_to_certify(count: int, limit: float, level: float) -> int:
    """The fewest trials in which ``count`` cases still show a share of at most ``limit``.

    >>> [trials_to_certify(k, 0.05, 0.05) for k in (0, 1, 2)]
    [59, 93, 124]
    """
    return _first(count + 1, lambda trials: binomial_tail(count, trials, limit) <= level)


def more_trials(count: int, trials: int, limit: float, level: float) -> int | None:
    """How many further trials show the limit if cases go on as often as so far.

    None where they would never do, or only after ``MOST_TRIALS``.

    >>> [more_trials(k, 50, 0.05, 0.05) for k in (0, 1, 5)]
    [9, 131, None]
    """
    rate = count / trials if trials else 0.0
    if rate >= limit:
        return None
    needed = _first(
        max(trials, 1), lambda most: binomial_tail(ceil(rate * most - 1e-9), most, limit) <= level
    )
    return needed - trials if needed <= MOST_TRIALS else None


def _first(low: int, holds: Callable[[int], bool]) -> int:
    """The first number from ``low`` on that holds, taken that all after it do."""
    if holds(low):
        return low
    high = 2 * low
    while high <= MOST_TRIALS and not holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def reject_in_sequence(chains: Sequence[Sequence[float]], level: float) -> list[tuple[int, float]]:
    """How far each chain of p-values is rejected, and the level of its last test.

    Every chain begins with an equal share of ``level`` and keeps it as long as its hypotheses are
    rejected in their order (fixed-sequence testing). A chain that is rejected to its end leaves its
    share to the others (Holm's step, as in the graphs of Bretz et al. 2009). The chance that a
    single true hypothesis is rejected is at most ``level``, whatever depends on what.

    Args:
        chains: p-values in an order that was fixed without looking at the outcomes.
        level: the chance of any false rejection, such as .05.

    >>> reject_in_sequence([[0.01, 0.2], [0.04]], 0.05)
    [(1, 0.025), (0, 0.025)]
    >>> reject_in_sequence([[0.01], [0.04]], 0.05)
    [(1, 0.025), (1, 0.05)]
    """
    done = [0] * len(chains)
    levels = [level / max(1, len(chains))] * len(chains)
    free = 0.0
    open_chains = [index for index, chain in enumerate(chains) if chain]
    while open_chains:
        for index in open_chains:
            levels[index] += free / len(open_chains)
        free = 0.0
        for index in open_chains:
            chain = chains[index]
            while done[index] < len(chain) and chain[done[index]] <= levels[index]:
                done[index] += 1
        ended = [index for index in open_chains if done[index] == len(chains[index])]
        free = sum(levels[index] for index in ended)
        open_chains = [index for index in open_chains if index not in ended]
        if not ended:
            break
    return list(zip(done, levels, strict=True))


def _choose(items: int, taken: int) -> float:
    """The logarithm of the number of ways to take so many items."""
    return lgamma(items + 1) - lgamma(taken + 1) - lgamma(items - taken + 1)
