"""How long the newest message of each line waited to be taken. Pure but for the clock."""

import time
from collections.abc import Callable, Mapping

RECENT_S = 60.0
"""A line of which nothing came for so long is not told, seconds."""
MOST_LINES = 1024
"""So many lines are remembered at most."""


class LineWaits:
    """Remembers of each line the wait of its newest message.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest: dict[str, tuple[float, float]] = {}

    def heard(self, line: str, wait_s: float) -> None:
        """A message of the line was taken, so many seconds after it was sent."""
        self._newest.pop(line, None)
        self._newest[line] = (self._clock(), max(wait_s, 0.0))
        if len(self._newest) > MOST_LINES:  # the one that was not heard for longest
            del self._newest[next(iter(self._newest))]

    def recent(self) -> Mapping[tuple[str, ...], float]:
        """The line's name -> seconds, of lines that were heard within ``RECENT_S``."""
        since_s = self._clock() - RECENT_S
        newest = self._newest.copy()  # asked by a thread of the exposition
        return {(line,): wait_s for line, (at_s, wait_s) in newest.items() if at_s >= since_s}
