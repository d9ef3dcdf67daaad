"""Says once that a dependency is away, reminds now and then, and says when it is back."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Outage:
    since_s: float
    said_s: float
    failures: int = 1


class Outages:
    """One line per change of state, however many events wait for the dependency."""

    def __init__(
        self,
        log: Callable[..., object],
        remind_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._remind_s = remind_s
        self._clock = clock
        self._away: dict[str, _Outage] = {}

    def failed(self, what: str, error: Exception) -> None:
        """A call to ``what`` failed and will be repeated."""
        now = self._clock()
        outage = self._away.get(what)
        if outage is None:
            self._away[what] = _Outage(now, now)
            self._log("away", what=what, error=str(error))
            return
        outage.failures += 1
        if now - outage.said_s >= self._remind_s:
            outage.said_s = now
            seconds = round(now - outage.since_s)
            self._log("still away", what=what, seconds=seconds, failures=outage.failures)

    def succeeded(self, what: str) -> None:
        """A call to ``what`` was answered."""
        outage = self._away.pop(what, None) if self._away else None
        if outage is not None:
            seconds = round(self._clock() - outage.since_s, 1)
            self._log("back", what=what, seconds=seconds, failures=outage.failures)
