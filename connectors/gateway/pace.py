"""How much must be on its way to keep a link busy, told from what arrives."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_FIRST_BYTES = 1 << 20
"""What is on its way before anything has arrived."""
_GAIN = 2.0
"""So many times what fits into a round trip: the link's speed is found by doubling."""
_LARGEST = 3
"""So many of the largest messages at least: one travels, one is answered, one waits."""
_TRIPS, _LEAST_S = 10, 10.0
"""The speed is the highest of the last so many round trips, and of so many seconds."""
_SAMPLES = 256


@dataclass(frozen=True)
class Flight:
    """A message on its way."""

    size: int
    began: float
    arrived_before: int
    """Bytes that had arrived when it began."""


@dataclass(eq=False)
class Pace:
    """The window of a link: its speed times its round trip, twice over, and three messages.

    The speed is told as BBR tells it (Cardwell et al., 2016): the bytes that arrived while a
    message was on its way, over the time it took, at its highest. What a link holds is the speed
    times the round trip of the smallest message; where no small ones are sent, of the quickest one.

    Args:
        round_trip_s: how long the smallest message takes, seconds; 0 when nobody knows.
    """

    round_trip_s: Callable[[], float] = lambda: 0.0
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._arrived = 0
        self._largest = 0
        self._quickest_s = math.inf
        self._speeds: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)

    def begin(self, size: int) -> Flight:
        """A message sets out."""
        return Flight(size, self.now(), self._arrived)

    def arrived(self, flight: Flight) -> None:
        """The other end has it."""
        now = self.now()
        took_s = max(now - flight.began, 1e-4)
        self._arrived += flight.size
        self._largest = max(flight.size, self._largest // 2)
        self._quickest_s = min(self._quickest_s, took_s)
        self._speeds.append((now, (self._arrived - flight.arrived_before) / took_s))

    @property
    def trip_s(self) -> float:
        """The link's round trip, seconds."""
        return self.round_trip_s() or (self._quickest_s if self._speeds else 0.0)

    @property
    def bytes_s(self) -> float:
        """The link's speed; 0 before anything arrived."""
        if not self._speeds:
            return 0.0
        since = self.now() - max(_TRIPS * self.trip_s, _LEAST_S)
        recent = [speed for at, speed in self._speeds if at >= since]
        return max(recent, default=self._speeds[-1][1])

    @property
    def window_bytes(self) -> float:
        """How many bytes should be on their way."""
        if not self._speeds:
            return _FIRST_BYTES
        return _GAIN * self.bytes_s * self.trip_s + _LARGEST * self._largest

    def time_for(self, size: float) -> float:
        """Seconds that ``size`` bytes and the answer take; infinite before anything arrived."""
        return self.trip_s + size / self.bytes_s if self._speeds else math.inf
