"""When a frame's exposure began at the earliest, on this host's monotonic clock. Pure."""

from dataclasses import dataclass
from typing import Final

SETTLE_S: Final = 1.0
"""For so long no frame may have come sooner after its time stamp than any before, seconds."""
_SOONER_S: Final = 0.05
"""A frame that came sooner by less than this is none that tells of a backlog, seconds."""
_DRIFT: Final = 0.001
"""Two clocks run apart by so much at most: their crystals, and a time service that slews them."""


@dataclass
class StreamClock:
    """Maps a stream's time stamps to the times at which its frames should have arrived.

    A frame that waited in a buffer arrives late, and the least delayed frame so far tells by how
    much. While frames come sooner and sooner after their time stamps, a backlog is draining, and
    nothing is known. A delay that stays is never taken for the stream's own, however long it
    stays: only what two clocks may drift apart is forgiven.

    Args:
        late_s: what comes later than this after the least delayed frame is late, seconds.
    """

    late_s: float = float("inf")
    settle_s: float = SETTLE_S
    _least: float | None = None
    """Of all frames the least time from stamp to arrival, by the two clocks."""
    _most_least: float = float("inf")
    """The most that ``_least`` was since ``_settling_at``."""
    _settling_at: float = 0.0
    _in_time_at: float = 0.0
    _stamp_s: float = float("-inf")
    _arrived_s: float = 0.0

    def undelayed(self, stamp_s: float, arrived_s: float) -> float | None:
        """When the frame of ``stamp_s`` would have arrived without delay; None: not known yet.

        >>> clock = StreamClock(settle_s=0)
        >>> [clock.undelayed(stamp, at) for stamp, at in ((0, 100.0), (1, 101.0), (2, 102.0))]
        [100.0, 101.0, 102.0]
        """
        offset = arrived_s - stamp_s
        if self._least is None or stamp_s <= self._stamp_s:  # the source began (anew)
            self._least, self._most_least = offset, float("inf")
        else:
            drifted = self._least + _DRIFT * (arrived_s - self._arrived_s)
            self._least = min(offset, drifted)
        self._stamp_s, self._arrived_s = stamp_s, arrived_s
        if self._least < self._most_least - _SOONER_S:
            self._settling_at, self._most_least = arrived_s, self._least
        self._most_least = max(self._most_least, self._least)
        if offset - self._least <= self.late_s:
            self._in_time_at = arrived_s
        if arrived_s - self._settling_at < self.settle_s:
            return None
        return stamp_s + self._least

    @property
    def late_for_s(self) -> float:
        """For how long every frame has been late, seconds."""
        return self._arrived_s - self._in_time_at
