"""Every topic of the line: name, key, partitions, retention and limits, in one place."""

from dataclasses import dataclass

from streams import changeovers, events, status
from streams.addresses import is_loopback

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
    """The last message of each key is kept, as long as ``retention_ms`` says."""
    segment_bytes: int | None = None
    """Size at which the broker begins a new segment (only older ones are compacted), or its own."""

    @property
    def cleanup(self) -> str:
        """Kafka's word for what goes: what is old, what a later message replaced, or both."""
        if not self.compacted:
            return "delete"
        return "compact" if self.retention_ms < 0 else "compact,delete"

    @property
    def config(self) -> dict[str, str]:
        """The broker's topic configuration."""
        config = {
            "cleanup.policy": self.cleanup,
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
CHANGEOVERS = Topic(
    "andon.changeovers",
    "line/station",
    changeovers.ChangeoverStep,
    "Changes of the recipe: asked for, answered by each stage, acknowledged or refused.",
)
STATUS = Topic(
    "andon.status",
    "role/instance",
    status.ProcessStatus,
    "How gateways and workers are: the last word of each process, for a week.",
    partitions=1,
    compacted=True,
    segment_bytes=16 * MIB,
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
    CHANGEOVERS,
    STATUS,
    DEAD,
)


@dataclass(frozen=True)
class Wanted:
    """How topics are to be kept."""

    copies: int = 1
    """Of each partition, at least."""
    in_sync: int = 1
    """So many of them must have a message before its sender is told, at least."""
    partitions: int = PARTITIONS
    """Of every topic that has more than one by its definition, at least."""

    def config_of(self, topic: Topic) -> dict[str, str]:
        """The topic's configuration."""
        kept = {"min.insync.replicas": str(self.in_sync)} if self.in_sync > 1 else {}
        return topic.config | kept

    def partitions_of(self, topic: Topic) -> int:
        """How many it has when it is created here."""
        return 1 if topic.partitions == 1 else self.partitions

    @classmethod
    def of(
        cls, servers: str, copies: int | None, in_sync: int | None, partitions: int = PARTITIONS
    ) -> "Wanted":
        """What the settings ask for; three copies and two in sync unless they say otherwise.

        Args:
            servers: brokers; where all are on this host, one copy is meant.
            copies: of each partition; None: by the servers.
            in_sync: None: 2 of 3 or more copies, else 1.
            partitions: of topics that have several.

        >>> Wanted.of("kafka-1:9092,kafka-2:9092", None, None)
        Wanted(copies=3, in_sync=2, partitions=4)
        >>> Wanted.of("127.0.0.1:19092", None, None).copies
        1
        """
        if copies is None:
            hosts = [server.rpartition(":")[0] for server in servers.split(",")]
            copies = 1 if all(is_loopback(host.strip()) for host in hosts) else 3
        return cls(copies, in_sync or (2 if copies >= 3 else 1), partitions)
