"""The metrics of a role, by name: what Prometheus scrapes, and ``docs/metrics.md`` explains."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from streams.events import Alert
from streams.exposition import MetricRow

EVENTS = MetricRow(
    "andon_events",
    "counter",
    "Events received",
    ("topic",),
    "No rise while parts run: the role gets nothing.",
)
DECIDED = MetricRow(
    "andon_decisions",
    "counter",
    "Decisions published",
    ("line", "product", "source", "action", "reason"),
    "A rising share of source `fallback` means that a model does not answer; `reason` says why.",
)
VERDICTS = MetricRow(
    "andon_shots",
    "counter",
    "Verdicts on shots published",
    ("source", "action"),
    "Only at stations with several shots of a part.",
)
ALERTED = MetricRow(
    "andon_alerts",
    "counter",
    "Alerts published: limits, drift, golden parts",
    ("line", "station", "limit", "stop"),
    "With stop `true` the line was asked to stop.",
)
LETTERS = MetricRow(
    "andon_dead_letters",
    "counter",
    "Dead letters",
    ("error",),
    "Each is an event that could not be used; its bytes are on `andon.dead`.",
)
RETRIES = MetricRow(
    "andon_retries",
    "counter",
    "Calls repeated",
    ("what",),
    "Rises while something is away; the log says since when.",
)
STAGES = MetricRow(
    "andon_stage_seconds",
    "histogram",
    "Time by stage",
    ("stage",),
    "The upper quantiles must stay well below the line's window.",
)
HELD = MetricRow(
    "andon_in_flight_events",
    "gauge",
    "Events held",
    watch="Near `worker.concurrency` the role is the bottleneck.",
)
HELD_BYTES = MetricRow(
    "andon_in_flight_bytes",
    "gauge",
    "Message bytes held",
    watch="Near `worker.in_flight_mib` pictures wait for memory.",
)
SKEW = MetricRow(
    "andon_clock_skew_seconds",
    "gauge",
    "Host's clock ahead of the gateway's",
    ("station",),
    "Not 0: synchronise the clocks of the two hosts (NTP). No part waits for it meanwhile.",
)
LAG = MetricRow(
    "andon_consumer_lag_messages",
    "gauge",
    "Messages of the worker's partitions that it was not given yet",
    ("topic", "partition"),
    "Rises: the role is slower than its topic; start another worker of it.",
)
WAITS = MetricRow(
    "andon_line_wait_seconds",
    "gauge",
    "From the sending of a line's newest message until the role was given it",
    ("line",),
    "One line's rises alone: it comes faster than its partition is read, or over a slow link. That "
    "of all lines: start another worker of the role. Lines of which nothing came for a minute are "
    "not told.",
)
SCORES = MetricRow(
    "andon_anomaly_score_ratio",
    "histogram",
    "Anomaly score over its threshold: above 1 a part is odd",
    ("product",),
    "Its middle moves up: light, lens or material changed ([drift.md](drift.md)).",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 5.0),
)
NAMED = MetricRow(
    "andon_classifications",
    "counter",
    "Answers of the classifier",
    ("line", "product", "classifier", "answer"),
    "A rising share of `unknown`: a new kind of defect, or examples that no longer fit.",
)
TOKENS = MetricRow(
    "andon_llm_tokens",
    "counter",
    "Tokens that language models read and wrote",
    ("product", "model", "direction"),
    "Of answers; `andon_serve_llm_tokens_total` counts calls without one too.",
)
COST = MetricRow(
    "andon_llm_cost",
    "counter",
    "What language models cost, in the currency of the endpoints' price lists",
    ("product", "model"),
    "Of answers; `andon_serve_llm_cost_total` counts calls without one too.",
)
RECORD_DELAY = MetricRow(
    "andon_record_delay_seconds",
    "histogram",
    "Decision to row in PostgreSQL",
    ("line",),
    "Minutes: the history and the review queue are behind the line; no part waits for them.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0),
)
MODEL = MetricRow(
    "andon_model_info",
    "gauge",
    "1 for the expert's version by which a product was inspected last",
    ("product", "version"),
    "Workers differ for long: a replica did not take a version.",
)
POLICY = MetricRow(
    "andon_policy_info",
    "gauge",
    "1 for the policy in force for a product",
    ("product", "hash"),
    "Processes differ for long: one of them no longer hears of policies.",
)
METRICS = (
    EVENTS, DECIDED, VERDICTS, ALERTED, LETTERS, RETRIES, STAGES, HELD, HELD_BYTES, SKEW,
    LAG, WAITS, SCORES, NAMED, TOKENS, COST, RECORD_DELAY, MODEL, POLICY,
)  # fmt: skip
LABELS = {
    "role": "which worker: `inspect`, `classify`, `record`, `limits`, `join` or `mqtt`",
    "topic": "the Kafka topic",
    "line": "the line's name",
    "product": "the product's name",
    "station": "of a gateway, its name; of a worker's metric, `line/station`, or empty for all",
    "source": "who decided ([codes.md](codes.md))",
    "action": "`pass`, `rework`, `scrap` or `hold`",
    "reason": "the name of the ReasonCode ([codes.md](codes.md))",
    "limit": "the limit's name, `drift/` and the quantity, or `golden/` and the part",
    "stop": "`true` where the line was asked to stop",
    "error": "the error's type",
    "what": "what is called again: `publish`, `history`, `changelog` ...",
    "partition": "the number of the topic's partition",
    "classifier": "`prototypes`, `velm` or `cascade`",
    "answer": "`class` of the policy, `normal` or `unknown`",
    "model": "the language model, as its endpoint names it",
    "direction": "`in`: the prompt, pictures included; `out`: the answer, reasoning included",
    "version": "the digest of the artifact",
    "hash": "the hash of the policy",
    "stage": "`inspect`, `classify`: the whole stay; `queue_inspect`, `expert` ...: a part of it",
}
"""What each label's values mean."""


def counters(registry: CollectorRegistry) -> dict[str, Counter]:
    """Every counter of a role, by its name in the code."""
    return {row.name: row.counter(registry) for row in METRICS if row.kind == "counter"}


def histograms(registry: CollectorRegistry) -> dict[str, Histogram]:
    """Every histogram of a role, by its name in the code."""
    return {row.name: row.histogram(registry) for row in METRICS if row.kind == "histogram"}


def alert_labels(alert: Alert) -> tuple[str, str, str, str]:
    """The labels of an alert in ``ALERTED``; a limit counts all stations of its line."""
    station = f"{alert.line}/{alert.station}" if alert.station else ""
    return alert.line, station, alert.limit, str(alert.request_stop).lower()
