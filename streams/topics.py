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


@dataclass(frozen=True)
class Topic:
    """One topic. ``retention_ms`` -1 keeps for ever; ``compacted`` keeps the last per key."""

    name: str
    key: str
    event: type[events.Event]
    binary: bool
    partitions: int
    retention_ms: int
    compacted: bool = False
    description: str = ""
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


PARTITIONS = 4
"""Partitions of topics whose key names a line: as many workers of a role can share the lines."""

FRAMES = Topic(
    "andon.frames",
    "line/station",
    events.Frame,
    True,
    PARTITIONS,
    6 * HOUR_MS,
    description="The image as captured; part, product and deadline in headers.",
)
ANOMALIES = Topic(
    "andon.anomalies",
    "line/station",
    events.Anomaly,
    True,
    PARTITIONS,
    72 * HOUR_MS,
    description="The image again with its inspection: to classify, or only to keep.",
)
DECISIONS = Topic(
    "andon.decisions",
    "line/station",
    events.Decision,
    False,
    PARTITIONS,
    168 * HOUR_MS,
    description="What a line controller reads.",
)
ACKS = Topic(
    "andon.acks",
    "line/station",
    events.Acknowledgement,
    False,
    PARTITIONS,
    168 * HOUR_MS,
    description="What the PLC acknowledged, or that it did not.",
)
REVIEWS = Topic(
    "andon.reviews",
    "frame id",
    events.Review,
    False,
    PARTITIONS,
    168 * HOUR_MS,
    description="What a person decided afterwards.",
)
POLICIES = Topic(
    "andon.policies",
    "product",
    events.PolicyInForce,
    False,
    1,
    -1,
    compacted=True,
    description="The policy in force per product.",
)
PARTS = Topic(
    "andon.parts",
    "line/product",
    events.Decision,
    False,
    PARTITIONS,
    24 * HOUR_MS,
    description="Decisions that may stand for a part, rekeyed for the limits; no measurements.",
)
COUNTED = Topic(
    "andon.counted",
    "line/product/slot",
    events.CountedPart,
    False,
    PARTITIONS,
    -1,
    compacted=True,
    description="Changelog of the limits: the last parts of each product on each line. Partitioned "
    "as andon.parts.",
    segment_bytes=16 * MIB,
)
ALERTS = Topic(
    "andon.alerts",
    "line/product",
    events.Alert,
    False,
    1,
    168 * HOUR_MS,
    description="Limits across parts that were exceeded.",
)
DEAD = Topic(
    "andon.dead",
    "original key",
    events.DeadLetter,
    True,
    PARTITIONS,
    168 * HOUR_MS,
    description="What could not be processed: original bytes, error type, stage.",
)

ALL: tuple[Topic, ...] = (
    FRAMES,
    ANOMALIES,
    DECISIONS,
    ACKS,
    REVIEWS,
    POLICIES,
    PARTS,
    COUNTED,
    ALERTS,
    DEAD,
)
