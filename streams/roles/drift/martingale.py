"""A conformal test martingale with bounded bets and a mixture over the beginnings of a change.

While a station's values are exchangeable (their order tells nothing), the smoothed rank of each new
value among all before it is uniform and independent of the ranks before (Vovk, Gammerman & Shafer
2005). Money is bet against that. A part of the capital starts to bet at every step, so that a
change after many parts is found as soon as an early one. The wealth is a martingale that starts
at 1: the probability that it ever reaches ``1 / alpha`` is at most ``alpha`` (Ville 1939).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MOST = 1e300
"""Capital is cut off here, far above every threshold, so that it never overflows."""


def _tilted(slope: float) -> Callable[[float], float]:
    """A bet that pays most at rank 0, falls in a straight line and is never above 2."""
    return lambda rank: 1 + slope * (1 - 2 * rank)


def _below(share: float, pays: float) -> Callable[[float], float]:
    """A bet on ranks up to ``share``; ``pays`` bounds what a few odd parts can win."""
    rest = (1 - share * pays) / (1 - share)
    return lambda rank: pays if rank <= share else rest


BETS: Sequence[Callable[[float], float]] = (
    _tilted(0.5),
    _tilted(0.9),
    _below(0.1, 3.0),
    _below(0.02, 4.0),
)
"""Each has mean 1 over uniform ranks and pays for low ones."""


@dataclass(frozen=True, slots=True)
class Side:
    """The bets that ranks are low, and where the newest change seems to have begun."""

    steps: int = 0
    capital: tuple[float, ...] = (0.0,) * len(BETS)
    """What each bet's money has become, all beginnings together."""
    evidence: float = 0.0
    """Logarithm of what the bets have won since the likeliest beginning; 0 where none is seen."""

    @property
    def wealth(self) -> float:
        """All that is bet, and the money that is not bet yet."""
        return sum(self.capital) + _waiting(self.steps)

    def bet(self, rank: float) -> "Side":
        """The same after one more rank, uniform in [0, 1] where nothing has changed."""
        share = (_waiting(self.steps) - _waiting(self.steps + 1)) / len(BETS)
        paid = [bet(rank) for bet in BETS]
        capital = tuple(
            min((money + share) * pays, MOST)
            for money, pays in zip(self.capital, paid, strict=True)
        )
        evidence = max(0.0, self.evidence + math.log(sum(paid) / len(paid)))
        return Side(steps=self.steps + 1, capital=capital, evidence=evidence)


def _waiting(steps: int) -> float:
    """Money that has not begun to bet after so many steps; all begins at some step."""
    return 1 / math.log2(steps + 2)


def smoothed_rank(counts: Mapping[int, float], number: int, chance: float) -> float:
    """Rank of a new value of bin ``number`` among those counted, lowest 0, ties broken by chance.

    Args:
        counts: values so far by bin.
        number: the new value's bin; a higher bin holds higher values.
        chance: uniform in [0, 1).

    >>> smoothed_rank({1: 3, 5: 4}, 5, 0.0)
    0.375
    """
    below = sum(count for other, count in counts.items() if other < number)
    ties = counts.get(number, 0.0) + 1
    return (below + chance * ties) / (sum(counts.values()) + 1)
