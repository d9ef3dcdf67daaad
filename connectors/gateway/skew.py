"""Whether a worker's clock is off, told from its own decisions.

A decision is taken after its part was captured and before it arrives here. ``captured_at`` and the
arrival are this host's times; ``decided_at`` and ``clock_ahead_s`` together are the worker's own:
where that lies outside of the two, the worker's clock is off by at least as much. No assumption
about the network is needed, and none of the worker's own estimate is believed.
"""

from collections.abc import Callable

import structlog

from streams.codes import DecisionSource
from streams.events import Decision

log = structlog.get_logger(__name__)
_SHARE = 0.25
"""A clock that is off by more than this share of the result window is a fault."""
_KEPT_S = 60.0
"""Bounds of decisions older than this say nothing of a clock as it is now, seconds."""


def skew_s(decision: Decision, arrived_s: float) -> float:
    """The least by which the worker's clock is ahead of ours, or behind where negative, seconds.

    Args:
        arrived_s: when the decision arrived, seconds since the epoch by this host's clock.
    """
    decided_s = decision.decided_at.timestamp() + decision.clock_ahead_s
    captured_s = decision.captured_at.timestamp()
    return max(decided_s - arrived_s, 0.0) or min(decided_s - captured_s, 0.0)


class SkewWatch:
    """Tells when the clock of the hosts of one kind of worker is off, and when it is right again.

    Args:
        on_skew: called with whether any of them is.
    """

    def __init__(self, on_skew: Callable[[bool], None]) -> None:
        self._on_skew = on_skew
        self._off: set[DecisionSource] = set()

    @property
    def is_off(self) -> bool:
        """Whether the clock of any of them is."""
        return bool(self._off)

    def saw(self, decision: Decision, arrived_s: float) -> None:
        """Judge the clock of a decision that has just arrived; those of a gateway say nothing."""
        source = decision.source
        if source is DecisionSource.WATCHDOG:
            return
        if arrived_s - decision.captured_at.timestamp() > _KEPT_S:
            return
        found = skew_s(decision, arrived_s)
        is_off = abs(found) > _SHARE * decision.result_window_ms / 1000
        if is_off == (source in self._off):
            return
        (self._off.add if is_off else self._off.discard)(source)
        if is_off:
            words = {"source": source.value, "at_least_s": round(found, 3)}
            log.error("clock.skew", **words, result_window_ms=decision.result_window_ms)
        else:
            log.info("clock.skew_ended", source=source.value)
        self._on_skew(self.is_off)
