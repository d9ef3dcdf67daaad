"""What messages tell of time: that of each gateway, and how long a line's newest one waited."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streams.kafka.delivery import Delivery

Ends = Mapping[tuple[str, int], int]
"""The end of the log by topic and partition."""
SENDING_S = 0.1
"""So long may a message be under way to the broker that says something of a clock, seconds."""
_KEPT_S = 300.0
"""Bounds are kept for one to two times as long: clocks drift by some milliseconds meanwhile."""
_STATIONS = 1024
"""So many stations are remembered; the one that was added first is forgotten beyond."""
_ASKED = 64
"""So many ends of the log are remembered."""
RECENT_S = 60.0
"""A line of which nothing came for so long is not told, seconds."""
MOST_LINES = 1024
"""So many lines are remembered at most."""


@dataclass
class _Bounds:
    """Bounds of one station's lead, seconds, from the messages since ``since_s``."""

    since_s: float
    most: float = float("inf")
    least: float = float("-inf")


class _Lead:
    """By how much the monotonic clock is ahead of one gateway's wall clock."""

    def __init__(self) -> None:
        self._now = self._before = _Bounds(float("-inf"))

    @property
    def most(self) -> float:
        return min(self._now.most, self._before.most)

    @property
    def least(self) -> float:
        return min(max(self._now.least, self._before.least), self.most)

    def heard(self, arrived_s: float, sent_s: float, absent_s: float | None) -> None:
        if arrived_s - self._now.since_s > _KEPT_S:
            is_recent = arrived_s - self._now.since_s <= 2 * _KEPT_S
            self._before = self._now if is_recent else _Bounds(arrived_s)
            self._now = _Bounds(arrived_s)
        if absent_s is not None:
            least = absent_s - sent_s - SENDING_S
            if least > self.most:  # the gateway's clock was set back
                self._now = self._before = _Bounds(arrived_s)
            self._now.least = max(self._now.least, least)
        self._now.most = min(self._now.most, arrived_s - sent_s)

    def earliest_s(self, monotonic_s: float, wall_s: float) -> float:
        """Until something new came from there, a clock that is ahead looks like a backlog."""
        is_known = self.least > float("-inf")
        return self.gateway_s(monotonic_s, wall_s) if is_known else monotonic_s - self.most

    def gateway_s(self, monotonic_s: float, wall_s: float) -> float:
        """The gateway's wall clock, as ``wall_s`` says it unless that is proven wrong."""
        by_arrival = monotonic_s - self.most
        if by_arrival <= wall_s <= monotonic_s - self.least:
            return wall_s
        return by_arrival


class GatewayClocks:
    """What time it is at each gateway, told from what arrives from there.

    A part's window ends at a moment of its gateway's wall clock. The wall clock of a worker's host
    may be off, and may be set at any time, so what is waited for is counted by the monotonic clock.
    Two things bound by how much that is ahead of a gateway's wall clock, its *lead*:

    * a message was sent before it arrived: the lead is at most what arrival and sending differ by;
    * a message that was not in the log yet when its end was asked for was sent later than that, but
      for the time that sending takes: the lead is at least what asking and sending differ by.

    A wall clock that agrees with both is believed. One that does not is off, and the time is
    counted from the messages' arrival: a window by the age that a part had when it was sent. Before
    the second bound is there, no part is late by our wall clock alone.

    Gateways are named by the key of their messages, ``line/station``.

    Args:
        monotonic: this process's monotonic clock, seconds.
        wall: this host's wall clock, seconds since the epoch.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._leads: dict[str, _Lead] = {}
        self._asked: deque[tuple[float, Ends]] = deque(maxlen=_ASKED)

    def log_ended(self, asked_s: float, ends: Ends) -> None:
        """Where the log ended when it was asked for at ``asked_s`` of the monotonic clock."""
        self._asked.append((asked_s, ends))

    def heard(self, station: str, sent_s: float, delivery: Delivery) -> None:
        """A message arrived that was sent at ``sent_s`` of its gateway's wall clock."""
        lead = self._leads.get(station)
        if lead is None:
            if len(self._leads) >= _STATIONS:
                del self._leads[next(iter(self._leads))]
            lead = self._leads[station] = _Lead()
        lead.heard(delivery.arrived_s, sent_s, self._absent_s(delivery))

    def at_s(self, station: str, monotonic_s: float | None = None) -> float:
        """The wall clock of the station's gateway then, or now, seconds since the epoch."""
        now_s, wall_s, lead = self._monotonic(), self._wall(), self._leads.get(station)
        gateway_s = wall_s if lead is None else lead.gateway_s(now_s, wall_s)
        return gateway_s if monotonic_s is None else gateway_s - (now_s - monotonic_s)

    def due_s(self, station: str, deadline_s: float) -> float:
        """When a moment of the gateway's wall clock is there, by our monotonic clock, at most."""
        at_s = self.earliest_s if self.is_doubted(station, deadline_s) else self.at_s
        return self._monotonic() + deadline_s - at_s(station)

    def is_doubted(self, station: str, deadline_s: float) -> bool:
        """Whether only this host's wall clock says that the moment has passed."""
        return self.earliest_s(station) < deadline_s <= self.at_s(station)

    def earliest_s(self, station: str) -> float:
        """The earliest that it may be at the station's gateway, seconds since the epoch."""
        now_s, wall_s, lead = self._monotonic(), self._wall(), self._leads.get(station)
        return wall_s if lead is None else lead.earliest_s(now_s, wall_s)

    def ahead_s(self, station: str) -> float:
        """By how much this host's wall clock was found to be ahead of the gateway's, or behind
        where negative, seconds; 0 where nothing speaks against it."""
        return self._wall() - self.at_s(station)

    def _absent_s(self, delivery: Delivery) -> float | None:
        """When the message was not in the log yet, by our monotonic clock."""
        place = delivery.topic, delivery.partition
        for asked_s, ends in reversed(self._asked):
            if ends.get(place, delivery.offset + 1) <= delivery.offset:
                return asked_s
        return None


class LineWaits:
    """Remembers of each line how long its newest message waited to be taken.

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
