"""When the controller gave a trigger, by its server's own time stamps. Pure.

The window T runs from the trigger, and the gateway hears of it later. Each publish response says
when it was sent and each value when it changed, both by the server's clocks, so the time between
needs no clock that is set right. How far the server's clock is from ours is the smallest
difference between sending and arrival of late, because a response may only come later than sent.
"""

from collections import deque
from typing import Final

from connectors.handshake.values import TriggerAge

_REMEMBERED: Final = 16
"""Publish responses, and changes of the heartbeat, that are remembered: some 8 s of them."""
_TOLERANCE_S: Final = 0.05
"""Time stamps of one host may differ by so much: some clocks tick every 16 ms."""


class TriggerTime:
    """Times of a connection, seconds: ``server`` and ``source`` by its clocks, ``now`` by ours."""

    def __init__(self) -> None:
        self._sampling_s = 0.0
        self._told_within_s = 0.0
        self._ahead: deque[float] = deque(maxlen=_REMEMBERED)
        """By how much our clock is ahead of the server's, plus the response's way."""
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)
        """From a change of the heartbeat, by its source's clock, to its publication."""
        self._quiet_at: float | None = None
        self._told: tuple[int, float] | None = None

    def granted(self, publishing_s: float, sampling_s: float) -> None:
        """The server's intervals; their sum is how late a trigger may be told."""
        self._sampling_s, self._told_within_s = sampling_s, publishing_s + sampling_s

    def published(self, server: float, now: float, without_trigger: bool) -> None:
        """A publish response came; ``without_trigger``: TriggerSeq had not moved until then."""
        self._ahead.append(now - server)
        if without_trigger:
            self._quiet_at = now

    def beat(self, source: float, server: float) -> None:
        """The heartbeat moved at ``source`` and was published at ``server``."""
        self._lags.append(server - source)

    def told(self, seq: int, source: float) -> None:
        """A publish response said that TriggerSeq moved to ``seq`` at ``source``."""
        self._told = (seq, source)

    def age(self, seq: int, source: float | None, now: float) -> TriggerAge:
        """How long ago TriggerSeq became ``seq``.

        Args:
            source: its source time stamp as it was read; None without one.
        """
        unknown = TriggerAge(0.0, self._told_within_s)
        stamps = [] if source is None else [source]
        told = self._told
        if told is not None and told[0] == seq:
            stamps.append(told[1])
        if not stamps or not self._lags or self._quiet_at is None:
            return unknown
        longest_s = now - self._quiet_at + self._told_within_s
        known_s = now - min(self._ahead) - min(stamps) - self._source_behind_s
        if not -_TOLERANCE_S <= known_s <= longest_s + _TOLERANCE_S:
            return unknown  # stamps that cannot be
        known_s = max(known_s, 0.0)
        is_of_change = len(stamps) == 2 and stamps[0] == stamps[1]
        # else it is the time of a sample: it may have changed at any time since the one before
        return TriggerAge(known_s, known_s + (0.0 if is_of_change else self._sampling_s))

    @property
    def _source_behind_s(self) -> float:
        """By how much the clock of the values is behind that of the server between, if it is."""
        least = min(self._lags)
        honest = -_TOLERANCE_S <= least <= self._told_within_s + _TOLERANCE_S
        return 0.0 if honest else least
