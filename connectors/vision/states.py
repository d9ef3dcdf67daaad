"""The state machines of a vision system, OPC 40100-1 sections 8.2 and 8.3. Pure.

The vision state machine has the automatic mode's below its state Operational. Names are those of
the standard; what happened is a list of its transitions.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from connectors.errors import ConnectorError


class NotNowError(ConnectorError):
    """What was asked for does not lead out of the present state."""


class MainState(StrEnum):
    """The vision state machine."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    OPERATIONAL = "Operational"


class AutomaticState(StrEnum):
    """The automatic mode, while the system is operational."""

    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE_EXECUTION = "SingleExecution"
    CONTINUOUS_EXECUTION = "ContinuousExecution"


class MoveCause(Enum):
    """What may move the machines: the gateway, a client's method, or the end of a job."""

    AVAILABLE = "the gateway is ready"
    FAULT = "the gateway has a fault"
    HALT = "Halt"
    RESET = "Reset"
    SELECT_AUTOMATIC = "SelectModeAutomatic"
    PREPARED = "PrepareRecipe"
    UNPREPARED = "UnprepareRecipe"
    START_SINGLE = "StartSingleJob"
    START_CONTINUOUS = "StartContinuous"
    STOP = "Stop"
    ABORT = "Abort"
    DONE = "the job is done"


@dataclass(frozen=True)
class VisionState:
    """Where both machines are.

    >>> state, moved = step(VisionState(), MoveCause.AVAILABLE)
    >>> state.main.value, state.automatic.value, moved
    ('Operational', 'Initialized', ('PreoperationalToOperationalAuto',))
    """

    main: MainState = MainState.PREOPERATIONAL
    automatic: AutomaticState | None = None
    """None while the system is not operational."""
    prepared: tuple[str, ...] = ()
    """Recipes that jobs may use, the last one prepared last."""
    waits: bool = False
    """Preoperational until a client selects a mode, as after Reset."""

    @property
    def executes(self) -> bool:
        """Whether a job runs."""
        return self.automatic in _EXECUTING


_EXECUTING = (AutomaticState.SINGLE_EXECUTION, AutomaticState.CONTINUOUS_EXECUTION)
Moved = tuple[VisionState, tuple[str, ...]]
"""The state after it, and the transitions that led there."""


def step(state: VisionState, cause: MoveCause, recipe: str = "") -> Moved:
    """One cause.

    Args:
        state: before it.
        cause: what came.
        recipe: which one was prepared, or is no longer.

    Raises:
        NotNowError: a method was called in a state that it does not lead out of.
    """
    match cause:
        case MoveCause.AVAILABLE:
            return _available(state)
        case MoveCause.FAULT:
            return _fault(state)
        case MoveCause.HALT if state.main is not MainState.HALTED:
            name = f"{state.main.value}ToHalted"
            return replace(state, main=MainState.HALTED, automatic=None), (name,)
        case MoveCause.RESET if state.main is not MainState.PREOPERATIONAL:
            return VisionState(waits=True), (f"{state.main.value}ToPreoperational",)
        case MoveCause.SELECT_AUTOMATIC if state.main is MainState.PREOPERATIONAL:
            return _operational(state, "PreoperationalToOperational")
        case _ if state.automatic is not None:
            return _automatic(state, state.automatic, cause, recipe)
    raise NotNowError(f"{cause.value} does not lead out of {state.main.value}")


def _available(state: VisionState) -> Moved:
    is_waiting = state.main is MainState.PREOPERATIONAL and not state.waits
    if is_waiting or state.main is MainState.ERROR:
        return _operational(state, f"{state.main.value}ToOperationalAuto")
    return state, ()


def _fault(state: VisionState) -> Moved:
    if state.main in (MainState.PREOPERATIONAL, MainState.OPERATIONAL):
        name = f"{state.main.value}ToErrorAuto"
        return replace(state, main=MainState.ERROR, automatic=None, waits=False), (name,)
    return state, ()


def _operational(state: VisionState, name: str) -> Moved:
    """Into the automatic mode, and on to Ready where recipes are prepared still."""
    moved = replace(state, main=MainState.OPERATIONAL, waits=False)
    if state.prepared:
        ready = replace(moved, automatic=AutomaticState.READY)
        return ready, (name, "InitializedToReadyAuto")
    return replace(moved, automatic=AutomaticState.INITIALIZED), (name,)


def _automatic(state: VisionState, now: AutomaticState, cause: MoveCause, recipe: str) -> Moved:
    ready, initialized = AutomaticState.READY, AutomaticState.INITIALIZED
    match cause, now:
        case MoveCause.PREPARED, AutomaticState.INITIALIZED | AutomaticState.READY:
            others = tuple(name for name in state.prepared if name != recipe)
            moved = replace(state, automatic=ready, prepared=(*others, recipe))
            return moved, ("InitializedToReadyRecipe",) if now is initialized else ()
        case MoveCause.UNPREPARED, AutomaticState.INITIALIZED | AutomaticState.READY:
            left = tuple(name for name in state.prepared if name != recipe)
            moved = replace(state, automatic=ready if left else initialized, prepared=left)
            return moved, ("ReadyToInitializedRecipe",) if now is ready and not left else ()
        case MoveCause.START_SINGLE, AutomaticState.READY:
            moved = replace(state, automatic=AutomaticState.SINGLE_EXECUTION)
            return moved, ("ReadyToSingleExecution",)
        case MoveCause.START_CONTINUOUS, AutomaticState.READY:
            moved = replace(state, automatic=AutomaticState.CONTINUOUS_EXECUTION)
            return moved, ("ReadyToContinuousExecution",)
        case ((MoveCause.STOP | MoveCause.ABORT | MoveCause.DONE), _) if now in _EXECUTING:
            how = {MoveCause.STOP: "Stop", MoveCause.ABORT: "Abort", MoveCause.DONE: "Auto"}[cause]
            return replace(state, automatic=ready), (f"{now.value}ToReady{how}",)
        case MoveCause.DONE, _:
            return state, ()
    raise NotNowError(f"{cause.value} does not lead out of {now.value}")
