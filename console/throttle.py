"""Slows down whoever tries passwords: a few tries at once, then one every some seconds."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

TRIES: Final = 5
"""Failed tries in a row that are let through."""
REFILL_S: Final = 30.0
"""Seconds until there is one more."""
_REMEMBERED: Final = 10_000
"""Names and addresses; the oldest are forgotten, so that a flood of names fills no memory."""


class Throttle:
    """Counts failed tries by name and by address.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tries spent, and when that was reckoned."""

    def wait_s(self, *keys: str) -> float:
        """Seconds until a try is let through; 0 at once."""
        return max((self._left(key) - TRIES + 1) * REFILL_S for key in keys) if keys else 0.0

    def failed(self, *keys: str) -> None:
        """One more try that failed."""
        for key in keys:
            self._spent[key] = (self._left(key) + 1, self._clock())
            self._spent.move_to_end(key)
        while len(self._spent) > _REMEMBERED:
            self._spent.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """The name begins anew; its address does not, which may have tried others."""
        self._spent.pop(key, None)

    def _left(self, key: str) -> float:
        spent, at = self._spent.get(key, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - at) / REFILL_S)
