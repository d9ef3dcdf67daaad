"""Inputs, commands and values of the handshake: frozen, with times in monotonic seconds."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from connectors.handshake.sequence import LAST
from connectors.handshake.signals import Signal, SignalValues
from streams.codes import AckOutcome, DecisionSource, FaultCode, ReasonCode, ResultCode
from streams.ports import Trigger


class PartKey(NamedTuple):
    """One trigger of one run of the controller's program."""

    plc_boot_id: int
    trigger_seq: int


class Verdict(NamedTuple):
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
    """Whether the gateway was told to decide: the no-decision action, or a hold."""
    verdict: Verdict | None = None
    result_seq: int = 0
    ordered_at: float | None = None
    """When its write was ordered; after a crash this stands in for ``written_at``."""
    written_at: float | None = None
    unheard: bool = False
    """Whether the controller may have taken the gateway for dead while this part was open."""
    recipe: int = 0
    """The recipe that it was triggered under; 0: none, or none is configured."""


@dataclass(frozen=True)
class Changeover:
    """One change of the recipe under way: from its request until all stages have it, or it ends."""

    number: int
    """Counts the change-overs of this process."""
    seq: int
    """The ``RecipeReqSeq`` that it answers."""
    recipe: int
    before: int
    """The recipe in force at its beginning, and again if it is refused; 0: none."""
    began_at: float
    deadline: float
    asked: bool = False
    """Whether the stages were asked for it."""
    prepared: bool = False
    """Whether every stage has it."""
    refusal: tuple[FaultCode, str] | None = None
    """Why it is given up, while the stages go back."""


# --- Inputs -----------------------------------------------------------------------------------


class Connected(NamedTuple):
    """A connection stands; the values of all signals were read after its subscription.

    Of ``RecipeReqSeq``, ``RecipeReq`` and ``FaultResetSeq`` those without good quality are missing:
    nobody may guess what the controller asks for.
    """

    values: SignalValues
    result_last: int = LAST
    """The largest ``ResultSeq`` that the nodes of it and of its acknowledgement can hold."""
    trigger_last: int = LAST
    """The largest ``TriggerSeq`` that its node can hold."""


class TriggerAge(NamedTuple):
    """How long ago a trigger was given, seconds; the window T has run since then."""

    known_s: float = 0.0
    """As far as the controller's time stamps tell it; 0 without any."""
    at_most_s: float = 0.0
    """No longer than this: the result is due so much earlier."""


class TriggerSeen(NamedTuple):
    """``TriggerSeq`` moved; the group was read with it. ``frame_id`` is used if it counts."""

    trigger: Trigger
    frame_id: UUID
    readable: bool = True
    """False where a signal of the group has no good quality: the part is held."""
    age: TriggerAge = TriggerAge()


class ExposureEnded(NamedTuple):
    """The camera is done with the part; without ``captured`` it gave no picture."""

    key: PartKey
    captured: bool = True
    why: str = ""
    """Without a picture: the camera's own words."""


class Decided(NamedTuple):
    """A decision for a part: from Kafka, or the answer to ``Decide``."""

    key: PartKey
    frame_id: UUID
    verdict: Verdict


class ResultWritten(NamedTuple):
    """Both writes of a result were confirmed."""

    key: PartKey


class BeatWritten(NamedTuple):
    """A write with the gateway's heartbeat was confirmed."""

    ordered_at: float
    """When it was begun, monotonic seconds: the controller had it no earlier."""


class ResultRefused(NamedTuple):
    """The controller does not let us write the result: nobody was told of it."""

    key: PartKey
    why: str


class CounterMoved(NamedTuple):
    """``PlcHeartbeat``, ``ResultAckSeq``, ``FaultResetSeq`` or ``TriggerEnable`` (0 or 1) has this
    value now."""

    signal: Signal
    value: int


class RecipeRequested(NamedTuple):
    """``RecipeReqSeq`` moved."""

    seq: int
    recipe: int
    name: str = ""
    """The recipe's name, where ``recipe`` is 0."""
    is_readable: bool = True
    """False where ``RecipeReq`` has no good quality: nobody knows which recipe is meant."""


class RecipePrepared(NamedTuple):
    """Every stage has the recipe of this change-over."""

    number: int


class RecipeRefused(NamedTuple):
    """A stage cannot have it, and every stage stands as before; or it was given up, as asked."""

    number: int
    code: FaultCode
    why: str


class FaultChanged(NamedTuple):
    """The shell found, or got over, a fault."""

    code: FaultCode
    active: bool


class Notice(Enum):
    """Inputs that carry no value."""

    DISCONNECTED = "disconnected"
    """The connection is gone, or a write did not come back in time."""
    STOP_REQUESTED = "stop_requested"
    """A limit across parts was exceeded; stands until the next fault reset."""
    TICK = "tick"
    """Time has passed."""


Input = (
    Connected
    | TriggerSeen
    | ExposureEnded
    | Decided
    | ResultWritten
    | ResultRefused
    | BeatWritten
    | CounterMoved
    | RecipeRequested
    | RecipePrepared
    | RecipeRefused
    | FaultChanged
    | Notice
)


# --- Commands ---------------------------------------------------------------------------------


class WriteStatus(NamedTuple):
    """Write these signals, in one service call."""

    values: SignalValues


class Capture(NamedTuple):
    """Expose for this part; the answer is ``ExposureEnded``."""

    part: Part


class Decide(NamedTuple):
    """Decide at once: the no-decision action, or a hold for the reason; answer ``Decided``."""

    part: Part
    reason: ReasonCode
    why: str = ""
    """The reason in words."""


class WriteResult(NamedTuple):
    """Write the result group, then ``ResultSeq``; answer with ``ResultWritten``."""

    part: Part
    pending: int


class ResultReport(NamedTuple):
    """The outcome of one result: exactly one per verdict."""

    part: Part | None
    key: PartKey
    frame_id: UUID
    verdict: Verdict
    outcome: AckOutcome
    acknowledged_at: float | None = None
    detail: str = ""


class Resynchronised(NamedTuple):
    """The controller cold-started, and the parts of before are void."""

    plc_boot_id: int
    dropped: tuple[Part, ...]


class MemoryBehind(NamedTuple):
    """The controller knows more than the journal: parts that may have a result already get none."""

    why: str
    dropped: tuple[Part, ...]


class PrepareRecipe(NamedTuple):
    """See that every stage has the recipe; no exposure is under way. It replaces the one before.
    The answer is ``RecipePrepared`` or ``RecipeRefused``."""

    changeover: Changeover


class AbandonRecipe(NamedTuple):
    """Go back to the recipe before; the answer is ``RecipeRefused``."""

    changeover: Changeover


class RecipeReport(NamedTuple):
    """How a change-over ended: exactly one for each that was begun or refused."""

    changeover: Changeover
    ended_at: float
    refusal: tuple[FaultCode, str] | None = None
    """None: the recipe is in force, and acknowledged."""


Command = (
    WriteStatus
    | Capture
    | Decide
    | WriteResult
    | ResultReport
    | Resynchronised
    | MemoryBehind
    | PrepareRecipe
    | AbandonRecipe
    | RecipeReport
)
