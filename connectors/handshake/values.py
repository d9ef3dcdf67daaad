"""Inputs, commands and values of the handshake. All frozen; times are seconds, monotonic."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from connectors.handshake.signals import Signal
from streams.codes import AckOutcome, DecisionSource, FaultCode, ReasonCode, ResultCode
from streams.ports import Trigger


class PartKey(NamedTuple):
    """One trigger of one run of the controller's program."""

    plc_boot_id: int
    trigger_seq: int


@dataclass(frozen=True)
class HandshakeConfig:
    """Times and limits. ``result_window_s`` None takes the controller's takt."""

    result_window_s: float | None = None
    watchdog_margin_s: float = 0.05
    ack_timeout_s: float = 1.0
    heartbeat_s: float = 0.5
    heartbeat_missed: int = 3
    pipelining: bool = True
    unacknowledged_limit: int = 8
    open_limit: int = 128
    missed_limit: int = 1024
    closed_limit: int = 4096
    """Closed parts remembered, to tell a late decision from a repeated one."""
    recipes: tuple[int, ...] = ()
    """Recipes that may be asked for; empty accepts every number."""

    @property
    def dead_after_s(self) -> float:
        return self.heartbeat_s * self.heartbeat_missed


@dataclass(frozen=True)
class Verdict:
    """What the controller is to be told about one part."""

    result_id: UUID
    source: DecisionSource
    code: ResultCode
    reason: ReasonCode
    class_id: int = -1
    score: float = 0.0
    decided_at: float = 0.0
    """Seconds since the epoch; carried along, never compared."""


class Phase(Enum):
    """Where a part's result stands."""

    OPEN = "open"
    """No verdict yet."""
    QUEUED = "queued"
    WRITING = "writing"
    """The result write was ordered; whether the controller has it is not known yet."""
    WRITTEN = "written"
    REPORTED = "reported"
    """Its outcome is known; it only occupies a place in the buffer until acknowledged."""


@dataclass(frozen=True)
class Part:
    """One trigger until its outcome is known."""

    key: PartKey
    trigger: Trigger
    frame_id: UUID | None
    triggered_at: float
    deadline: float
    """End of the result window T."""
    missed: bool = False
    phase: Phase = Phase.OPEN
    asked: bool = False
    """The no-decision action, or a hold, was asked for."""
    verdict: Verdict | None = None
    result_seq: int = 0
    ordered_at: float | None = None
    """When its write was ordered; after a crash the best that is known of ``written_at``."""
    written_at: float | None = None


# --- Inputs -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connected:
    """A new connection, everything read back: the values of all signals."""

    values: Mapping[Signal, Any]


@dataclass(frozen=True)
class Disconnected:
    """The connection is gone, or a write did not come back in time."""


@dataclass(frozen=True)
class TriggerSeen:
    """``TriggerSeq`` moved; the group was read with it. ``frame_id`` is used if it counts."""

    trigger: Trigger
    frame_id: UUID


@dataclass(frozen=True)
class Exposed:
    """The camera is done with the part."""

    key: PartKey


@dataclass(frozen=True)
class CaptureFailed:
    """The camera gave no picture."""

    key: PartKey


@dataclass(frozen=True)
class Decided:
    """A decision for a part: from Kafka, or the answer to ``Decide``."""

    key: PartKey
    frame_id: UUID
    verdict: Verdict


@dataclass(frozen=True)
class ResultWritten:
    """Both writes of a result were confirmed."""

    key: PartKey


@dataclass(frozen=True)
class AckSeen:
    """``ResultAckSeq`` moved."""

    result_seq: int


@dataclass(frozen=True)
class HeartbeatSeen:
    """``PlcHeartbeat`` moved."""


@dataclass(frozen=True)
class RecipeRequested:
    """``RecipeReqSeq`` moved."""

    seq: int
    recipe: int


@dataclass(frozen=True)
class FaultResetSeen:
    """``FaultResetSeq`` moved: latched faults and the overrun are over."""

    seq: int


@dataclass(frozen=True)
class FaultChanged:
    """The shell found, or got over, a fault."""

    code: FaultCode
    active: bool


@dataclass(frozen=True)
class StopRequested:
    """A limit across parts was exceeded; stands until the next fault reset."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Input = (
    Connected
    | Disconnected
    | TriggerSeen
    | Exposed
    | CaptureFailed
    | Decided
    | ResultWritten
    | AckSeen
    | HeartbeatSeen
    | RecipeRequested
    | FaultResetSeen
    | FaultChanged
    | StopRequested
    | Tick
)


# --- Commands ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class WriteStatus:
    """Write these signals, in one service call."""

    values: Mapping[Signal, Any]


@dataclass(frozen=True)
class Capture:
    """Expose for this part; answer with ``Exposed`` or ``CaptureFailed``."""

    part: Part


@dataclass(frozen=True)
class Decide:
    """Answer with ``Decided`` at once: the no-decision action, or a hold for the reason given."""

    part: Part
    reason: ReasonCode


@dataclass(frozen=True)
class WriteResult:
    """Write the result group, then ``ResultSeq``; answer with ``ResultWritten``."""

    part: Part
    pending: int


@dataclass(frozen=True)
class Report:
    """The outcome of one result: exactly one per verdict."""

    part: Part | None
    key: PartKey
    frame_id: UUID
    verdict: Verdict
    outcome: AckOutcome
    acknowledged_at: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Resynchronised:
    """The controller cold-started: parts of before are void."""

    plc_boot_id: int
    dropped: tuple[Part, ...]


Command = WriteStatus | Capture | Decide | WriteResult | Report | Resynchronised
