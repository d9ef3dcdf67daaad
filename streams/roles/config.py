"""What a role must be told: frozen values that the composition root fills from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from streams.exposition import MetricRow, Read
from streams.kafka.faust_app import BusConfig
from streams.topics import MIB

RoleName = Literal["inspect", "classify", "join", "record", "limits", "mqtt"]


@dataclass(frozen=True)
class FlowConfig:
    """Bounds and deadlines of a role."""

    concurrency: int = 64
    """Events at the expert or classifier at once."""
    in_flight_bytes: int = 256 * MIB
    """Bound on the message bytes held; reached, the role stops fetching."""
    in_flight_events: int = 1024
    """Bound on the events held; reached, the role stops fetching."""
    batch: int = 8
    """Most items in one call."""
    batch_wait_s: float = 0.005
    """How long a call waits to fill while another one is under way."""
    margin_s: float = 0.150
    """The fallback is decided this long before the deadline."""
    call_timeout_s: float = 5.0
    """Longest wait for one call."""
    late_grace_s: float = 5.0
    """How long after its fallback a part is still offered to the expert or classifier."""
    late_parts: int = 1024
    """Most parts whose answer is waited for after their fallback; the oldest is given up beyond."""
    late_age_s: float = 60.0
    """How long a classifier may take to answer after the fallback."""
    retry_s: float = 0.1
    """Pause before a retryable failure is tried again; doubles up to ``retry_cap_s``."""
    retry_cap_s: float = 5.0
    aside_after: int = 6
    """So many failures of one message while others get through, and it becomes a dead letter."""
    stop_timeout_s: float = 8.0
    """How long a graceful stop waits for the events in flight."""


@dataclass(frozen=True)
class LimitsConfig:
    """Memory of the limits role."""

    remembered_parts: int = 1024
    """Parts remembered per line and product, or the longest window if that is longer: what is
    delivered again within so many parts is counted once."""
    stop_within_s: float = 60.0
    """An alert older than this, as after an outage of the role, asks for no stop."""
    drift_alpha: float = 0.01
    """Probability, at most, that a station's watch for drift ever alarms while nothing changes;
    0 watches nothing."""


@dataclass(frozen=True)
class JoinConfig:
    """How long the shots of a part are waited for, seconds; and what is remembered."""

    margin_s: float = 0.100
    """A part is decided with the shots that there are this long before its deadline: after the
    fallbacks of inspect and classify, before the gateway's watchdog."""
    least_wait_s: float = 0.010
    """A part whose first verdict comes later than that waits so long for the others."""
    backlog_wait_s: float = 1.0
    """A part whose window was over when its first verdict came, as after an outage, waits so."""
    remember_s: float = 120.0
    """A decided part is remembered so long, so that a late or doubled verdict opens none anew."""
    remembered_parts: int = 4096
    """Most decided parts that are remembered per partition."""


@dataclass(frozen=True)
class RoleConfig:
    """Everything of one role."""

    role: RoleName
    bus: BusConfig
    flow: FlowConfig = field(default_factory=FlowConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    join: JoinConfig = field(default_factory=JoinConfig)
    apart: frozenset[str] = frozenset()
    """Names of topics whose events hold back no others: they have bounds of their own."""
    status_every_s: float = 0.0
    """Seconds between two messages that say how the worker is, at most; 0: it says nothing."""
    metrics_port: int = 0
    """Prometheus port; 0 is off."""
    metrics_host: str = "127.0.0.1"
    """Address that the Prometheus port listens on."""
    of_all: Mapping[MetricRow, Read] = field(default_factory=dict)
    """What every process tells Prometheus, such as which build it runs."""
