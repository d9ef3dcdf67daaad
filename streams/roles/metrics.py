"""The metrics of a role, by name: what Prometheus scrapes, and ``docs/metrics.md`` explains."""

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
    ("limit", "stop"),
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
METRICS = (EVENTS, DECIDED, VERDICTS, ALERTED, LETTERS, RETRIES, STAGES, HELD, HELD_BYTES, SKEW)
LABELS = {
    "role": "which worker: `inspect`, `classify`, `record`, `limits`, `join` or `mqtt`",
    "topic": "the Kafka topic",
    "line": "the line's name",
    "product": "the product's name",
    "station": "of a gateway, its name; of a worker's metric, `line/station`",
    "source": "who decided ([codes.md](codes.md))",
    "action": "`pass`, `rework`, `scrap` or `hold`",
    "reason": "the name of the ReasonCode ([codes.md](codes.md))",
    "limit": "the limit's name, `drift/` and the quantity, or `golden/` and the part",
    "stop": "`true` where the line was asked to stop",
    "error": "the error's type",
    "what": "what is called again: `publish`, `history`, `changelog` ...",
    "stage": "`inspect`, `classify`: the whole stay; `queue_inspect`, `expert` ...: a part of it",
}
"""What each label's values mean."""
