"""Slows down whoever tries passwords: a few tries at once, then one every some seconds.

Each console counts for itself what is tried at once; the audit has what was tried at all of them.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from history.console_audit import ConsoleAudit

TRIES: Final = 5
"""Failed tries in a row that are let through."""
REFILL_S: Final = 30.0
"""Seconds until there is one more."""
LOOKED_BACK: Final = timedelta(minutes=10)
"""As long as tries can hold up the next one; a few more than ``TRIES`` fit at several consoles."""
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


def wait_after(tries: Iterable[datetime], now: datetime) -> float:
    """Seconds from ``now`` until a try is let through, after those that failed; 0 at once.

    >>> moment = datetime(2026, 11, 23, 6, tzinfo=UTC)
    >>> wait_after([moment] * 5, moment), wait_after([moment] * 5, moment + timedelta(seconds=15))
    (30.0, 15.0)
    """
    spent, before = 0.0, now
    for at in (*sorted(min(one, now) for one in tries), now):
        spent = max(0.0, spent - max(0.0, (at - before).total_seconds()) / REFILL_S) + 1
        before = at
    return max(0.0, (spent - TRIES) * REFILL_S)


async def wait_everywhere(audit: ConsoleAudit, name: str, address: str = "") -> float:
    """The same by what the audit has of a person and of an address, whichever console it was."""
    now = datetime.now(UTC)
    found = await audit.wrong_passwords(name, address, now - LOOKED_BACK)
    return max(wait_after(tries, now) for tries in found)
