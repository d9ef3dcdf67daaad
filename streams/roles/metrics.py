"""Prometheus metrics of a role. Each role instance has a registry of its own."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from streams.events import Alert, Decision

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class RoleMetrics:
    """Counters and latencies by role; ``andon_`` is the prefix of every name."""

    def __init__(self, role: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.role = role
        self._events = Counter(
            "andon_events", "Events received", ["role", "topic"], registry=self.registry
        )
        self._decisions = Counter(
            "andon_decisions",
            "Decisions published",
            ["role", "source", "action", "reason"],
            registry=self.registry,
        )
        self._alerts = Counter(
            "andon_alerts", "Limits exceeded", ["role", "limit", "stop"], registry=self.registry
        )
        self._letters = Counter(
            "andon_dead_letters", "Dead letters", ["role", "error"], registry=self.registry
        )
        self._retries = Counter(
            "andon_retries", "Calls repeated", ["role", "what"], registry=self.registry
        )
        self._stages = Histogram(
            "andon_stage_seconds",
            "Time by stage",
            ["role", "stage"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._in_flight = Gauge(
            "andon_in_flight_events", "Events held", ["role"], registry=self.registry
        )
        self._in_flight_bytes = Gauge(
            "andon_in_flight_bytes", "Message bytes held", ["role"], registry=self.registry
        )

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

    def retry(self, what: str) -> None:
        """Something is tried again: ``publish``, ``store`` ..."""
        self._retries.labels(self.role, what).inc()

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """Latency by stage, milliseconds."""
        for stage, ms in timings_ms.items():
            self._stages.labels(self.role, stage).observe(ms / 1000)

    def watch(self, events: Callable[[], int], size: Callable[[], int]) -> None:
        """Read the events and bytes in flight when scraped."""
        self._in_flight.labels(self.role).set_function(events)
        self._in_flight_bytes.labels(self.role).set_function(size)

    def serve(self, port: int) -> Callable[[], None]:
        """Expose on ``port`` of every interface; returns what stops it."""
        server, thread = start_http_server(port, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop
