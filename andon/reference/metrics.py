"""Writes ``docs/metrics.md``: every metric that Prometheus can scrape."""

from typing import Final

from andon.reference.text import GENERATED, table
from streams.roles.metrics import LABELS, METRICS, MetricRow

_HEAD: Final = f"""# Metrics

{GENERATED}

A worker exposes its metrics for Prometheus at `worker.metrics_port` (`ANDON_WORKER__METRICS_PORT`,
one port for each worker of a host; 0, the default, exposes none), on loopback unless
`ANDON_WORKER__METRICS_HOST` names another address, such as `0.0.0.0`.
The gateway exposes none: its state is in the controller's registers ([signals.md](signals.md)).
Ray Serve's own metrics are Ray's ([serving.md](serving.md)).

Every metric has the label `role`. Counters count from the start of their process, so ask for
`rate()` or `increase()`; `infra/prometheus/andon.rules.yaml` holds alerts to begin with, and
`promtool check rules` checks it.
"""


def reference() -> str:
    """The whole document."""
    heads = ["metric", "kind", "unit", "labels", "what it says", "watch"]
    lines = [_HEAD, *table(heads, [_row(metric) for metric in METRICS])]
    lines += ["", "## Labels", ""]
    lines += table(["label", "values"], [[f"`{name}`", words] for name, words in LABELS.items()])
    return "\n".join(lines) + "\n"


def _row(metric: MetricRow) -> list[str]:
    exposed = metric.name + ("_total" if metric.kind == "counter" else "")
    last = metric.name.rsplit("_", 1)[-1]
    unit = last if last in ("seconds", "bytes") else "number"
    labels = ", ".join(f"`{name}`" for name in ("role", *metric.labels))
    return [f"`{exposed}`", metric.kind, unit, labels, f"{metric.help}.", metric.watch]
