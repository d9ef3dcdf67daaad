"""The event by which gateways and workers say how they are: the last one of each process stands.

It is for people and programs that watch a line. No part waits for it, and what is not sent in time
is dropped: the next one says more.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from streams.codes import ClockStatus, FaultCode
from streams.inspections import Event, Int64, Moment, Real, Text, UInt32

SignalNow = bool | Int64 | Real | Text
_BEATS: Final = frozenset({"PlcHeartbeat", "VisionHeartbeat"})
"""They move all the time: that they do is said now and then, and is no news."""
CHECK_OF: Final = {
    "publish": "kafka",
    "changelog": "kafka",
    "history": "postgres",
    "objects": "s3",
    "expert": "serve",
    "classifier": "serve",
}
"""What a worker says is away -> the check of ``andon doctor`` that looks at it."""
Versions = Annotated[dict[Text, Text], Field(max_length=1024)]
"""Product -> the version in force."""


class LinePhase(StrEnum):
    """Where a gateway stands in the handshake's state chart, the first that holds."""

    STANDBY = "standby"
    """Another gateway is in charge of the controller."""
    DISCONNECTED = "disconnected"
    """The controller is not connected."""
    SILENT = "silent"
    """The controller's heartbeat does not move."""
    FAULT = "fault"
    """A fault stands with which no part is captured."""
    CHANGEOVER = "changeover"
    """The recipe is being changed, or none is in force."""
    EXPOSING = "exposing"
    """An exposure is under way."""
    FULL = "full"
    """Results wait for the controller's acknowledgement, and no more parts are taken."""
    READY = "ready"
    """The next trigger is captured."""


class StandingFault(Event):
    """One fault of the gateway."""

    code: FaultCode
    since: Moment


class GatewayCounts(Event):
    """What a gateway counted since it was started."""

    captured: Int64 = 0
    missed: Int64 = 0
    """Triggers that were not captured: each part is held."""
    watchdog: Int64 = 0
    """Parts that the gateway decided itself, missed triggers not counted."""
    acknowledged: Int64 = 0
    unacknowledged: Int64 = 0
    late: Int64 = 0
    """Decisions that came when the window was over, or another one stood."""
    overruns: Int64 = 0
    """How often a result was lost, because too many were not acknowledged."""


class GatewayState(Event):
    """The handshake with one line controller, as its gateway sees it."""

    line: Text
    station: Text
    phase: LinePhase
    why_not_ready: Text = ""
    """In words; empty where the next trigger is captured."""
    in_charge: bool = True
    owner: UInt32 = 0
    """The number that the gateway in charge has in the controller's VisionHeartbeat; 0 where nobody
    is known to be in charge."""
    plc: Text = ""
    """The controller's endpoint."""
    is_connected: bool = False
    is_alive: bool = False
    """Whether PlcHeartbeat moves."""
    plc_boot_id: UInt32 = 0
    signals: Annotated[dict[Text, SignalNow], Field(max_length=128)] = {}
    """The controller's signals by name, as they were read or written last."""
    fault_code: FaultCode = FaultCode.NONE
    """The one that the controller is shown."""
    faults: Annotated[tuple[StandingFault, ...], Field(max_length=64)] = ()
    counts: GatewayCounts = GatewayCounts()
    open_parts: Int64 = 0
    pending_results: Int64 = 0
    spooled: Annotated[dict[Text, Int64], Field(max_length=16)] = {}
    """Lane -> messages that wait on disk for the broker."""
    recipe: Annotated[int, Field(ge=0, le=0xFFFF)] = 0
    product_id: Text = ""
    """Of the last part."""
    result_window_ms: UInt32 = 0
    """Of the last part; 0 before the first."""
    is_simulated: bool = False


class WorkerState(Event):
    """What one worker is at."""

    is_ready: bool = False
    """Whether it has joined its group and is given events."""
    lag: Annotated[dict[Text, Int64], Field(max_length=64)] = {}
    """Topic -> messages of its partitions that it was not given yet."""
    in_flight: Int64 = 0
    """Events that it works at."""
    in_flight_bytes: Int64 = 0
    events: Int64 = 0
    """How many came since it was started."""
    decisions: Int64 = 0
    dead_letters: Int64 = 0
    last_event_at: Moment | None = None
    away: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    """What does not answer it: ``expert``, ``publish``, ``history`` ..."""
    clock_ahead_s: Annotated[dict[Text, Real], Field(max_length=1024)] = {}
    """``line/station`` -> by how much this host's clock is ahead of the gateway's, seconds."""
    models: Versions = {}
    """Product -> the expert's version by its last decision."""


class ProcessStatus(Event):
    """What one process of a line says of itself.

    One that ended says so last; of one that was killed the last word is as old as it says.
    """

    event_type: ClassVar[str] = "andon.status.v1"
    role: Text
    """``gateway``, or the worker's role."""
    instance: Text
    """The process among those of its role: the same after a restart on the same host."""
    host: Text = ""
    version: Text = ""
    """Of Andon."""
    started_at: Moment
    at: Moment
    number: Annotated[int, Field(ge=1, le=(1 << 63) - 1)] = 1
    """Counts what the process said since it was started."""
    every_s: Annotated[float, Field(gt=0, le=3600)]
    """It says something at least so often, seconds."""
    is_ended: bool = False
    """Whether it ended as it was told to."""
    clock_status: ClockStatus = ClockStatus.UNKNOWN
    policies: Versions = {}
    """Product -> the hash of the policy that is in force for this process."""
    gateway: GatewayState | None = None
    worker: WorkerState | None = None

    @property
    def key(self) -> str:
        """The Kafka key: of each process the last message is kept."""
        return f"{self.role}/{self.instance}"

    @property
    def news(self) -> object:
        """What is said at once when it changes; the rest waits for the next time."""
        if self.gateway is not None:
            state = self.gateway.model_dump(exclude={"signals"})
            moving = {k: v for k, v in self.gateway.signals.items() if k not in _BEATS}
            return self.policies, state, moving
        if self.worker is not None:
            return self.policies, self.worker.is_ready, self.worker.away, self.worker.models
        return self.policies
