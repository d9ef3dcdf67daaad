"""Every topic of the line: name, key, partitions, retention and limits, in one place."""

from dataclasses import dataclass

from streams import events

MIB = 1 << 20
INLINE_LIMIT_BYTES = 8 * MIB
"""Largest image that travels inside a Kafka message; larger ones go by ``dataref``."""
MAX_MESSAGE_BYTES = 9 * MIB
"""Topic ``max.message.bytes`` and producer ``max_request_size``: image plus headers."""
MAX_FETCH_BYTES = 16 * MIB
"""Consumer ``fetch_max_bytes`` and ``max_partition_fetch_bytes``."""
HOUR_MS = 3_600_000


PARTITIONS = 4
"""Partitions of topics whose key names a line: as many workers of a role can share the lines."""


@dataclass(frozen=True)
class Topic:
    """One topic; kept for a week unless it says otherwise."""

    name: str
    key: str
    event: type[events.Event]
    description: str
    partitions: int = PARTITIONS
    retention_ms: int = 168 * HOUR_MS
    """-1 keeps for ever."""
    compacted: bool = False
    """The last message of each key is kept, whatever its age."""
    segment_bytes: int | None = None
    """Size at which the broker begins a new segment (only older ones are compacted), or its own."""

    @property
    def config(self) -> dict[str, str]:
        """The broker's topic configuration."""
        config = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
        }
        if self.segment_bytes is not None:
            config["segment.bytes"] = str(self.segment_bytes)
        return config


FRAMES = Topic(
    "andon.frames",
    "line/station",
    events.Frame,
    "The image as captured; part, product and deadline in headers.",
    retention_ms=6 * HOUR_MS,
)
ANOMALIES = Topic(
    "andon.anomalies",
    "line/station",
    events.Anomaly,
    "The image again with its inspection: to classify, or only to keep.",
    retention_ms=72 * HOUR_MS,
)
DECISIONS = Topic(
    "andon.decisions", "line/station", events.Decision, "What a line controller reads."
)
SHOTS = Topic(
    "andon.shots",
    "line/station",
    events.ShotVerdict,
    "What each shot was judged, at stations that take several of a part. No controller reads it.",
)
ACKS = Topic(
    "andon.acks",
    "line/station",
    events.Acknowledgement,
    "What the PLC acknowledged, or that it did not.",
)
REVIEWS = Topic("andon.reviews", "frame id", events.Review, "What a person decided afterwards.")
POLICIES = Topic(
    "andon.policies",
    "product",
    events.PolicyInForce,
    "The policy in force per product.",
    partitions=1,
    retention_ms=-1,
    compacted=True,
)
PARTS = Topic(
    "andon.parts",
    "line/product",
    events.Decision,
    "Decisions that may stand for a part, rekeyed for the limits; no measurements.",
    retention_ms=24 * HOUR_MS,
)
COUNTED = Topic(
    "andon.counted",
    "line/product/slot",
    events.CountedPart,
    "Changelog of the limits: the last parts of each product on each line. Partitioned "
    "as andon.parts.",
    retention_ms=-1,
    compacted=True,
    segment_bytes=16 * MIB,
)
ALERTS = Topic(
    "andon.alerts",
    "line/product",
    events.Alert,
    "Limits across parts that were exceeded.",
    partitions=1,
)
DEAD = Topic(
    "andon.dead",
    "original key",
    events.DeadLetter,
    "What could not be processed: original bytes, error type, stage.",
)

ALL: tuple[Topic, ...] = (
    FRAMES,
    ANOMALIES,
    DECISIONS,
    SHOTS,
    ACKS,
    REVIEWS,
    POLICIES,
    PARTS,
    COUNTED,
    ALERTS,
    DEAD,
)
