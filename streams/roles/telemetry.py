"""What a role tells about itself: Prometheus metrics, and log lines when something changes."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from streams.backoff import backoff_s
from streams.errors import UnavailableError
from streams.events import Alert, Decision
from streams.log import Log
from streams.roles.config import FlowConfig

T = TypeVar("T")
REMIND_S = 30.0
"""How often the log repeats that something is still away, seconds."""
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass
class _Outage:
    since_s: float
    said_s: float
    failures: int = 1


class Telemetry:
    """Counters and latencies by role, and one log line per change of state.

    ``andon_`` is the prefix of every metric; each role has a registry of its own.

    Args:
        role: the label of every metric.
        log: takes an event's name and its fields.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        role: str,
        log: Log = lambda *_, **__: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self.role = role
        self.log = log
        self._clock = clock
        self._away: dict[str, _Outage] = {}
        self._events = self._counter("events", "Events received", "topic")
        self._decisions = self._counter(
            "decisions", "Decisions published", "source", "action", "reason"
        )
        self._alerts = self._counter("alerts", "Limits exceeded", "limit", "stop")
        self._letters = self._counter("dead_letters", "Dead letters", "error")
        self._retries = self._counter("retries", "Calls repeated", "what")
        self._stages = Histogram(
            "andon_stage_seconds",
            "Time by stage",
            ["role", "stage"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._in_flight = self._gauge("in_flight_events", "Events held")
        self._in_flight_bytes = self._gauge("in_flight_bytes", "Message bytes held")

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"andon_{name}", what, ["role", *labels], registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"andon_{name}", what, ["role"], registry=self.registry).labels(self.role)

    def event(self, topic: str) -> None:
        """An event arrived."""
        self._events.labels(self.role, topic).inc()

    def decision(self, decision: Decision) -> None:
        """A decision was published."""
        self._decisions.labels(
            self.role, decision.source.value, decision.action.value, decision.reason_code.name
        ).inc()

    def alert(self, alert: Alert) -> None:
        """An alert was published."""
        self._alerts.labels(self.role, alert.limit, str(alert.request_stop).lower()).inc()

    def dead_letter(self, error_type: str) -> None:
        """A dead letter was published."""
        self._letters.labels(self.role, error_type).inc()

    def failed(self, what: str, error: Exception) -> None:
        """A call to ``what`` (``broker``, ``history`` ...) failed and will be repeated.

        However many events wait for it, the log says once that it is away, reminds now and then,
        and says when it is back.
        """
        self._retries.labels(self.role, what).inc()
        now = self._clock()
        outage = self._away.get(what)
        if outage is None:
            self._away[what] = _Outage(now, now)
            self.log("away", what=what, error=str(error))
            return
        outage.failures += 1
        if now - outage.said_s >= REMIND_S:
            outage.said_s = now
            seconds = round(now - outage.since_s)
            self.log("still away", what=what, seconds=seconds, failures=outage.failures)

    def succeeded(self, what: str) -> None:
        """A call to ``what`` was answered."""
        outage = self._away.pop(what, None)
        if outage is not None:
            seconds = round(self._clock() - outage.since_s, 1)
            self.log("back", what=what, seconds=seconds, failures=outage.failures)

    async def until_available(
        self, what: str, call: Callable[[], Awaitable[T]], flow: FlowConfig
    ) -> T:
        """The call's result, however long it raises ``UnavailableError``."""
        for attempt in itertools.count():
            try:
                result = await call()
            except UnavailableError as error:
                self.failed(what, error)
            else:
                self.succeeded(what)
                return result
            await asyncio.sleep(backoff_s(attempt, flow.retry_s, flow.retry_cap_s))
        raise AssertionError("unreachable")

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """Latency by stage, milliseconds."""
        for stage, ms in timings_ms.items():
            self._stages.labels(self.role, stage).observe(ms / 1000)

    def watch(self, events: Callable[[], int], size: Callable[[], int]) -> None:
        """Read the events and bytes in flight when scraped."""
        self._in_flight.set_function(events)
        self._in_flight_bytes.set_function(size)

    def serve(self, port: int) -> Callable[[], None]:
        """Expose on ``port`` of every interface; returns what stops it."""
        server, thread = start_http_server(port, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop
