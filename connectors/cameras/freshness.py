"""When a frame's exposure began at the earliest, on this host's monotonic clock. Pure."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 10.0
"""Over this long the least delayed frame is looked for; two crystals drift 2 ms apart in it."""
SETTLE_S = 1.0
"""For this long after the first frame its backlog may still be draining, so nothing is proved."""


@dataclass
class StreamClock:
    """Maps a stream's time stamps to the times at which its frames should have arrived.

    A frame that waited in a buffer arrives late, and the least delayed frame of the last seconds
    tells by how much: what arrived late is never taken for new.
    """

    window_s: float = WINDOW_S
    settle_s: float = SETTLE_S
    _offsets: deque[tuple[float, float]] = field(default_factory=deque)
    _first: float | None = None
    _last_stamp: float = float("-inf")

    def undelayed(self, stamp_s: float, arrived_s: float) -> float | None:
        """When the frame of ``stamp_s`` would have arrived without delay; None: not known yet.

        >>> clock = StreamClock(settle_s=0)
        >>> [clock.undelayed(stamp, at) for stamp, at in ((0, 100.0), (1, 101.0), (2, 107.0))]
        [100.0, 101.0, 102.0]
        """
        if stamp_s <= self._last_stamp:  # the source began anew: its clock is another
            self._offsets.clear()
            self._first = None
        self._last_stamp = stamp_s
        if self._first is None:
            self._first = arrived_s
        offset = arrived_s - stamp_s
        while self._offsets and self._offsets[-1][1] >= offset:
            self._offsets.pop()
        self._offsets.append((arrived_s, offset))
        while self._offsets[0][0] < arrived_s - self.window_s:
            self._offsets.popleft()
        if arrived_s - self._first < self.settle_s:
            return None
        return stamp_s + self._offsets[0][1]
