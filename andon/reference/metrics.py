"""Writes ``docs/metrics.md``: every metric that Prometheus can scrape."""

from typing import Final

from andon.reference.text import GENERATED, table
from connectors.gateway.metrics import GATEWAY_LABELS, GATEWAY_METRICS
from console.metrics import CONSOLE_LABELS, CONSOLE_METRICS
from streams.exposition import OF_ALL, MetricRow
from streams.roles.metrics import LABELS, METRICS

_HEAD: Final = f"""# Metrics

{GENERATED}

A worker exposes its metrics for Prometheus at `worker.metrics_port` (`ANDON_WORKER__METRICS_PORT`,
one port for each worker of a host; 0, the default, exposes none), on loopback unless
`ANDON_WORKER__METRICS_HOST` names another address, such as `0.0.0.0`.
A gateway exposes its own at `gateway.metrics_port` (`ANDON_GATEWAY__METRICS_PORT`,
`ANDON_GATEWAY__METRICS_HOST`), and the console at `ANDON_CONSOLE__METRICS_PORT`
(`ANDON_CONSOLE__METRICS_HOST`). Ray's own metrics are Ray's ([serving.md](serving.md)).

Every metric of a worker has the label `role`, every one of a gateway `line` and `station`; none has
a part, a lot or a frame. Counters count from the start of their process, so ask for
`rate()` or `increase()`; `infra/prometheus/andon.rules.yaml` holds alerts to begin with, of which
[runbook.md](runbook.md) says what to do. `promtool check rules` checks it, and
`promtool test rules infra/prometheus/*.test.yaml` lets each alert fire once and stay silent once.
`infra/grafana/andon.json` is a dashboard of the lines for Grafana and `andon-plant.json` one of
what stands behind them, written by `python -m andon.reference`;
`andon demo --classifier cascade --set prometheus=true` plays a line that a real Prometheus (2.40 or
newer, on the path) watches, and says which of their questions it has no data for, and which alerts
fired; it exits with 1 where a picture would be empty.

## Workers
"""

_OF_CONSOLE: Final = """Where it has a port, the console also asks PostgreSQL what waits for
review, and Serve's ingress what its replicas hold, every `ANDON_CONSOLE__METRICS_EVERY_S` seconds.
What did not answer last has no value, and `andon_console_sees` of its check is 0."""


def reference() -> str:
    """The whole document."""
    heads = ["metric", "kind", "unit", "labels", "what it says", "watch"]
    lines = [_HEAD, *table(heads, [_row(metric) for metric in METRICS])]
    lines += ["", "## Gateways", ""]
    lines += table(heads, [_row(metric) for metric in GATEWAY_METRICS])
    lines += ["", "## The console", "", _OF_CONSOLE, ""]
    lines += table(heads, [_row(metric) for metric in CONSOLE_METRICS])
    lines += ["", "## Each of them", ""]
    lines += table(heads, [_row(metric) for metric in OF_ALL])
    lines += ["", "## Labels", ""]
    of_all = {"certificate": "whose it is, with its file where a setting names one"}
    labels = of_all | LABELS | GATEWAY_LABELS | CONSOLE_LABELS
    lines += table(["label", "values"], [[f"`{name}`", words] for name, words in labels.items()])
    return "\n".join(lines) + "\n"


def _row(metric: MetricRow) -> list[str]:
    last = metric.name.rsplit("_", 1)[-1]
    unit = last if last in ("seconds", "bytes") else "number"
    labels = ", ".join(f"`{name}`" for name in metric.all_labels)
    return [f"`{metric.exposed}`", metric.kind, unit, labels, f"{metric.help}.", metric.watch]
