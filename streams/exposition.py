"""What Prometheus scrapes: metrics as rows that code, document and alerts share, and the port."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from streams.errors import AndonError

MetricKind = Literal["counter", "gauge", "histogram"]
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class MetricRow:
    """One metric: its name, what it counts or measures, and its labels beside those of all."""

    name: str
    """In the code; a counter's name ends with ``_total`` when it is scraped."""
    kind: MetricKind
    help: str
    """Of the exposition, in words; the unit is the name's last part where there is one."""
    labels: tuple[str, ...] = ()
    watch: str = ""
    """What a person should make of it."""
    common: tuple[str, ...] = ("role",)
    """The labels of every metric of such a process; they come first."""

    @property
    def exposed(self) -> str:
        """The name that is scraped."""
        return self.name + ("_total" if self.kind == "counter" else "")

    @property
    def all_labels(self) -> tuple[str, ...]:
        return (*self.common, *self.labels)

    def counter(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.help, self.all_labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.help, self.all_labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.help, self.all_labels, registry=registry, buckets=_SECONDS)


class MetricsPortError(AndonError):
    """The port of the metrics cannot be opened."""


def served(
    registry: CollectorRegistry,
    port: int,
    host: str = "127.0.0.1",
    setting: str = "ANDON_WORKER__METRICS_PORT",
) -> Callable[[], None]:
    """Expose a registry on ``port`` of ``host``; returns what stops it.

    Raises:
        MetricsPortError: the port cannot be had; names the ``setting`` that chose it.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortError(
            f"{setting}: port {port} cannot be opened ({error.strerror}); "
            "each process of a host needs a port of its own, and 0 exposes nothing"
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
