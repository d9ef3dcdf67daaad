"""What Prometheus scrapes: metrics as rows that code, document and alerts share, and the port."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

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
    buckets: tuple[float, ...] = _SECONDS
    """Upper ends of a histogram's buckets, in its unit."""

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
        return Histogram(
            self.name, self.help, self.all_labels, registry=registry, buckets=self.buckets
        )


Read = Callable[[], Mapping[tuple[str, ...], float]]
"""What a metric is now, by the values of its labels."""


class Sampled(Collector):
    """A metric that is read when it is scraped: what is no longer there is no longer told.

    Args:
        row: a gauge, or a counter that somebody else counts.
        read: asked at each scrape, in a thread of the exposition.
        place: the values of the labels of every metric of the process.
    """

    def __init__(self, row: MetricRow, read: Read, place: tuple[str, ...]) -> None:
        self._row, self._read, self._place = row, read, place

    def describe(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Its name, for which nothing is asked."""
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Its values now."""
        family = self._family()
        for labels, value in self._read().items():
            family.add_metric([*self._place, *labels], value)
        yield family

    def _family(self) -> GaugeMetricFamily | CounterMetricFamily:
        kind = CounterMetricFamily if self._row.kind == "counter" else GaugeMetricFamily
        return kind(self._row.name, self._row.help, labels=self._row.all_labels)


def in_force(versions: Mapping[str, str]) -> dict[tuple[str, ...], float]:
    """An information metric: 1 for each product with its version.

    >>> in_force({"tile": "4be0"})
    {('tile', '4be0'): 1.0}
    """
    return dict.fromkeys(versions.items(), 1.0)


BUILD = MetricRow(
    "andon_build_info",
    "gauge",
    "1 for the build that the process runs: its version and commit",
    ("build",),
    "Two for longer than an upgrade takes: a process was not started again.",
    common=(),
)
CERTIFICATE = MetricRow(
    "andon_certificate_ends_timestamp_seconds",
    "gauge",
    "When a certificate ends that the process shows, trusts or is shown, as Unix time",
    ("certificate",),
    "Within a month: renew it; a connection that stands is not cut, and the next one is refused.",
    common=(),
)
OF_ALL = (BUILD, CERTIFICATE)
"""Of every process, beside its own metrics."""


class MetricsPortError(AndonError):
    """The port of the metrics cannot be opened."""


def served(
    registry: CollectorRegistry,
    port: int,
    host: str = "127.0.0.1",
    setting: str = "ANDON_WORKER__METRICS_PORT",
    of_all: Mapping[MetricRow, Read] | None = None,
) -> Callable[[], None]:
    """Expose a registry on ``port`` of ``host``, with what every process tells (``OF_ALL``);
    returns what stops it.

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

    for row, read in (of_all or {}).items():
        registry.register(Sampled(row, read, ()))

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
