"""The handshake's state, and what follows from it without any input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from connectors.handshake.config import HandshakeConfig
from connectors.handshake.sequence import LAST, steps
from connectors.handshake.signals import Signal, SignalValues
from connectors.handshake.values import Changeover, Part, PartKey, Phase
from streams.codes import FaultCode

BLOCKING_FAULTS = frozenset(
    {FaultCode.CAMERA, FaultCode.JOURNAL, FaultCode.SPOOL_FULL, FaultCode.RESULT_REFUSED}
)
"""Faults with which no trigger may be accepted."""
CLOSED_LIMIT = 4096
"""Closed parts remembered, to tell a late decision from a repeated one."""
RECIPE_FAULTS = frozenset(
    {
        FaultCode.UNKNOWN_RECIPE,
        FaultCode.RECIPE_EXPERT,
        FaultCode.RECIPE_POLICY,
        FaultCode.RECIPE_CAMERA,
        FaultCode.RECIPE_TIMEOUT,
        FaultCode.RECIPE_UNREADABLE,
    }
)
"""Why the last change-over was refused; the next one that succeeds ends them."""
LATCHED_FAULTS = RECIPE_FAULTS | {FaultCode.RESULT_OVERRUN}
"""Faults that stand until the controller resets them."""


@dataclass(frozen=True)
class State:
    """Everything the handshake remembers. Dictionaries are never changed in place."""

    config: HandshakeConfig
    plc_boot_id: int | None = None
    """None as long as no controller was ever seen."""
    online: bool = False
    alive: bool = False
    """Whether the controller's heartbeat moves."""
    enabled: bool = False
    """``TriggerEnable``, as the controller shows it."""
    plc_heartbeat: int = 0
    heartbeat_at: float = 0.0
    last_trigger_seq: int = 0
    takt_ms: int = 0
    exposing: PartKey | None = None
    parts: Mapping[PartKey, Part] = field(default_factory=dict)
    queue: tuple[PartKey, ...] = ()
    """Results not yet acknowledged, oldest first; only the first may be written."""
    backlog: tuple[PartKey, ...] = ()
    """Holds of missed triggers; written when the queue is empty."""
    closed: Mapping[PartKey, UUID] = field(default_factory=dict)
    """Recent parts and the result that stood."""
    pending_told: int | None = None
    """``PendingResults`` as the controller has it; None: not known."""
    result_seq: int = 0
    result_ack_seq: int = 0
    """``ResultAckSeq``, as the controller shows it."""
    result_last: int = LAST
    """After this ``ResultSeq`` wraps to 1."""
    trigger_last: int = LAST
    """After this ``TriggerSeq`` wraps to 1."""
    result_seq_known: bool = False
    """False before the first controller, and after a journal that does not say."""
    memory_whole: bool = True
    """False after a start with a damaged journal, until the controller was read."""
    has_served: bool = False
    """Whether this process has read the controller: from then on it knows all it acknowledged."""
    exposure_done_seq: int = 0
    missed_count: int = 0
    overrun: bool = False
    faults: frozenset[FaultCode] = frozenset()
    stop_request: bool = False
    recipe_active: int = 0
    """The recipe in force, or the one that is to be again after a restart."""
    recipe_set: bool = False
    """Whether every stage has it; told only where recipes are configured."""
    recipe_again_at: float = 0.0
    """When the recipe that is shown is prepared again, because not every stage could have it."""
    recipe_ack_seq: int = 0
    changeover: Changeover | None = None
    changeovers: int = 0
    """How many were begun in this process."""
    fault_reset_seq: int | None = None
    """As it was read last; None: never, and its first value resets nothing."""
    vision_heartbeat: int = 0
    beat_at: float = 0.0
    spoke_at: float = float("-inf")
    """When the newest heartbeat that the controller is known to have was sent."""
    silent_until: float = float("-inf")
    """End of the last silence so long that the controller may have held its open parts."""

    @property
    def ready(self) -> bool:
        """Whether the next trigger will be captured."""
        return (
            self.online
            and self.alive
            and self.exposing is None
            and self.has_recipe
            and (self.enabled or not self.config.use_trigger_enable)
            and not self.faults & BLOCKING_FAULTS
            and (len(self.parts) < self.config.open_limit or self._open < self.config.open_limit)
            and (self.config.pipelining or not self.parts)
        )

    def ahead(self, seq: int) -> int:
        """How many triggers lead from the last one to ``seq``; negative: the counter went back.

        One that fell has wrapped where few triggers lie between; else it began anew.
        """
        last = self.last_trigger_seq
        distance = steps(last, seq, self.trigger_last)
        return seq - last if seq < last and distance > self.config.missed_limit else distance

    @property
    def has_recipe(self) -> bool:
        """Whether parts may be captured as far as recipes go."""
        return not self.config.recipes or (self.recipe_set and self.changeover is None)

    @property
    def lacks_its_recipe(self) -> bool:
        """Whether the recipe that is shown is still to be prepared, and nothing is under way."""
        wanted = bool(self.config.recipes) and self.recipe_active != 0 and not self.recipe_set
        return self.online and wanted and self.changeover is None

    @property
    def why_not_ready(self) -> str:
        """Why Ready is not set, in words; empty where it is."""
        if self.ready:
            return ""
        if blocking := sorted(self.faults & BLOCKING_FAULTS):
            return f"fault {', '.join(code.name for code in blocking)} stands"
        if not self.alive:
            return "PlcHeartbeat does not move"
        if self.exposing is not None:
            return f"the camera is still at trigger {self.exposing.trigger_seq}"
        if not self.enabled and self.config.use_trigger_enable:
            return "TriggerEnable is not set"
        if not self.has_recipe:
            return self._why_no_recipe
        if not self.config.pipelining:
            return "the part before has no acknowledged result, and pipelining is off"
        return f"{self._open} parts have no acknowledged result, and open_limit is reached"

    @property
    def _why_no_recipe(self) -> str:
        if self.changeover is not None:
            return f"the change-over to recipe {self.changeover.recipe} is under way"
        if self.recipe_active:
            return f"recipe {self.recipe_active} could not be prepared"
        return "no recipe is in force: RecipeReqSeq asks for one"

    @property
    def _open(self) -> int:
        """Captured parts whose outcome is not known yet."""
        return sum(not part.missed for part in self.parts.values())

    @property
    def fault_code(self) -> FaultCode:
        """The one fault that is shown; those that block come first."""
        blocking = sorted(self.faults & BLOCKING_FAULTS)
        return min(blocking or sorted(self.faults) or [FaultCode.NONE])

    @property
    def pending(self) -> int:
        """Results that wait for the controller's acknowledgement, the written one included."""
        return len(self.queue) + len(self.backlog)

    @property
    def has_result_under_way(self) -> bool:
        """Whether a connected controller has, or is being told, a result without its answer."""
        told = Phase.WRITING, Phase.WRITTEN
        return self.online and any(part.phase in told for part in self.parts.values())

    @cached_property
    def outputs(self) -> SignalValues:
        """Every status signal as it should stand on the controller."""
        # a single one is told with the result itself, which saves a write for each part
        more = {Signal.PENDING_RESULTS: self.pending} if self.pending > 1 else {}
        return {
            **more,
            Signal.ONLINE: self.online,
            Signal.READY: self.ready,
            Signal.BUSY: self.exposing is not None,
            Signal.RESULT_OVERRUN: self.overrun,
            Signal.STOP_REQUEST: self.stop_request,
            Signal.TRIGGER_ACK_SEQ: self.last_trigger_seq,
            Signal.EXPOSURE_DONE_SEQ: self.exposure_done_seq,
            Signal.MISSED_COUNT: self.missed_count,
            Signal.FAULT_CODE: int(self.fault_code),
            Signal.RECIPE_ACTIVE: self.recipe_active,
            Signal.RECIPE_ACK_SEQ: self.recipe_ack_seq,
            Signal.VISION_HEARTBEAT: self.vision_heartbeat,
        }

    def head(self) -> Part | None:
        """The part whose result is, or is next to be, in the controller's registers."""
        return self.parts[self.queue[0]] if self.queue else None


def next_wakeup(state: State) -> float:
    """When the next tick is due at the latest, seconds monotonic."""
    config = state.config
    times = [state.beat_at + config.heartbeat_s]
    if state.online and FaultCode.PLC_HEARTBEAT not in state.faults:
        times.append(state.heartbeat_at + config.dead_after_s)
    for part in state.parts.values():
        if part.phase is Phase.OPEN and not part.asked:
            times.append(part.deadline - config.watchdog_margin_s)
        elif part.phase is Phase.QUEUED and not part.missed:
            times.append(part.deadline)
        elif part.phase is Phase.WRITTEN and part.written_at is not None:
            times.append(part.written_at + config.ack_timeout_s)
    if state.changeover is not None and state.changeover.refusal is None:
        times.append(state.changeover.deadline)
    if state.lacks_its_recipe:
        times.append(state.recipe_again_at)
    return min(times)
