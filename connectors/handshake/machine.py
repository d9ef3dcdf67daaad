"""The handshake between line controller and gateway as a pure state machine (``SIGNALS.md``).

``step(state, now, input)`` gives the new state and the commands that follow. No I/O, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from connectors.handshake import results, triggers
from connectors.handshake.results import Step
from connectors.handshake.sequence import steps
from connectors.handshake.signals import Signal
from connectors.handshake.state import LATCHED_FAULTS, State
from connectors.handshake.values import (
    AckSeen,
    CaptureFailed,
    Command,
    Connected,
    Decide,
    Decided,
    Disconnected,
    Exposed,
    FaultChanged,
    FaultResetSeen,
    HandshakeConfig,
    HeartbeatSeen,
    Input,
    Part,
    PartKey,
    Phase,
    RecipeRequested,
    ResultWritten,
    StopRequested,
    Tick,
    TriggerSeen,
    WriteStatus,
)
from streams.codes import FaultCode, ReasonCode
from streams.ports import Trigger


def step(state: State, now: float, event: Input) -> tuple[State, list[Command]]:
    """One input. Status signals that changed come first, as one write."""
    before = state.outputs if state.online else {}
    new, commands = _apply(state, now, event)
    if not new.online:
        return new, commands
    changed = {s: v for s, v in new.outputs.items() if before.get(s) != v or s not in before}
    if changed:
        return new, [WriteStatus(changed), *commands]
    return new, commands


def restore(
    config: HandshakeConfig,
    plc_boot_id: int | None,
    last_trigger_seq: int,
    parts: Iterable[Part],
    closed: Mapping[PartKey, UUID],
) -> State:
    """The state after a restart, from the journal. ``Connected`` then reads back the rest."""
    known = {part.key: part for part in parts}
    ordered = [p for p in known.values() if p.result_seq]
    waiting = [p for p in known.values() if p.phase is Phase.QUEUED and not p.result_seq]
    queued = tuple(p.key for p in [*ordered, *waiting] if p.result_seq or not p.missed)
    missed = tuple(p.key for p in waiting if p.missed)
    return State(
        config=config,
        plc_boot_id=plc_boot_id,
        last_trigger_seq=last_trigger_seq,
        parts=known,
        queue=queued,
        backlog=missed,
        closed=dict(closed),
    )


def _apply(state: State, now: float, event: Input) -> Step:
    match event:
        case Tick():
            return _tick(state, now)
        case TriggerSeen():
            return triggers.trigger_seen(state, now, event)
        case Exposed():
            return triggers.exposed(state, now, event)
        case CaptureFailed():
            return triggers.capture_failed(state, now, event)
        case Decided():
            return results.decided(state, now, event)
        case ResultWritten():
            return results.result_written(state, now, event)
        case AckSeen():
            return results.acknowledged(state, now, event)
        case HeartbeatSeen():
            return replace(_heard(state), alive=True, heartbeat_at=now), []
        case Connected():
            return _connected(state, now, event)
        case Disconnected():
            return replace(state, online=False, alive=False), []
        case FaultResetSeen():
            return _reset(state, now, event)
        case _:
            return _minor(state, event), []


def _minor(state: State, event: Input) -> State:
    match event:
        case RecipeRequested():
            return _recipe(state, event)
        case FaultChanged():
            faults = state.faults - {event.code}
            return replace(state, faults=faults | {event.code} if event.active else faults)
        case StopRequested():
            return replace(state, stop_request=True)
    raise TypeError(f"{type(event).__name__} is no input of the handshake")


def _tick(state: State, now: float) -> Step:
    config = state.config
    if now - state.beat_at >= config.heartbeat_s:
        beat = (state.vision_heartbeat + 1) & 0xFFFFFFFF
        state = replace(state, vision_heartbeat=beat, beat_at=now)
    if state.online and now - state.heartbeat_at >= config.dead_after_s:
        faults = state.faults | {FaultCode.PLC_HEARTBEAT}
        state = replace(state, alive=False, faults=faults)
    return results.due(state, now)


def _heard(state: State) -> State:
    return replace(state, faults=state.faults - {FaultCode.PLC_HEARTBEAT})


def _connected(state: State, now: float, event: Connected) -> Step:
    values = event.values
    current = trigger_of(values)
    known = state.plc_boot_id
    state = replace(
        _heard(state),
        online=True,
        alive=False,
        heartbeat_at=now,
        takt_ms=current.takt_ms,
        recipe_ack_seq=int(values[Signal.RECIPE_ACK_SEQ]),
        recipe_active=int(values[Signal.RECIPE_ACTIVE]),
        fault_reset_seq=int(values[Signal.FAULT_RESET_SEQ]),
        vision_heartbeat=int(values[Signal.VISION_HEARTBEAT]),
        stop_request=state.stop_request or bool(values[Signal.STOP_REQUEST]),
    )
    if known is None:
        state, commands = _first_contact(state, current, values), list[Command]()
    elif known != current.plc_boot_id or _went_back(state, current):
        state, commands = triggers.resynchronise(state, current.plc_boot_id, current.trigger_seq)
        return replace(state, result_seq=int(values[Signal.RESULT_SEQ])), commands
    else:
        state = replace(state, missed_count=int(values[Signal.MISSED_COUNT]))
        state, commands = results.read_back(
            state,
            now,
            int(values[Signal.RESULT_SEQ]),
            int(values[Signal.RESULT_TRIGGER_SEQ]),
            int(values[Signal.RESULT_ACK_SEQ]),
        )
    state, interrupted = _interrupted(state)
    state, more = triggers.missed_while_away(state, now, current)
    minor = RecipeRequested(int(values[Signal.RECIPE_REQ_SEQ]), int(values[Signal.RECIPE_REQ]))
    return _recipe(state, minor), [*commands, *interrupted, *more]


def _first_contact(state: State, current: Trigger, values: Mapping[Signal, Any]) -> State:
    """No memory of this controller: it remembers what was acknowledged to it."""
    acknowledged = int(values[Signal.TRIGGER_ACK_SEQ])
    return replace(
        state,
        plc_boot_id=current.plc_boot_id,
        last_trigger_seq=acknowledged or current.trigger_seq,
        exposure_done_seq=int(values[Signal.EXPOSURE_DONE_SEQ]),
        missed_count=int(values[Signal.MISSED_COUNT]),
        result_seq=int(values[Signal.RESULT_SEQ]),
    )


def _went_back(state: State, current: Trigger) -> bool:
    last = state.last_trigger_seq
    if current.trigger_seq == 0:
        return last != 0
    return steps(last, current.trigger_seq) < 0


def _interrupted(state: State) -> Step:
    """Parts whose exposure a restart cut short: the picture is gone, they are held."""
    commands: list[Command] = []
    for part in list(state.parts.values()):
        cut = part.phase is Phase.OPEN and part.asked and state.exposing != part.key
        if cut:
            reason = ReasonCode.MISSED_TRIGGER if part.missed else ReasonCode.CAPTURE_FAILED
            commands.append(Decide(part, reason))
    return state, commands


def _recipe(state: State, event: RecipeRequested) -> State:
    if event.seq == state.recipe_ack_seq:
        return state
    state = replace(state, recipe_ack_seq=event.seq)
    if state.config.recipes and event.recipe not in state.config.recipes:
        return replace(state, faults=state.faults | {FaultCode.UNKNOWN_RECIPE})
    return replace(
        state, recipe_active=event.recipe, faults=state.faults - {FaultCode.UNKNOWN_RECIPE}
    )


def _reset(state: State, now: float, event: FaultResetSeen) -> Step:
    if event.seq == state.fault_reset_seq:
        return state, []
    state = replace(
        state,
        fault_reset_seq=event.seq,
        faults=state.faults - LATCHED_FAULTS,
        overrun=False,
        stop_request=False,
    )
    return results.release(state, now)


def trigger_of(values: Mapping[Signal, Any]) -> Trigger:
    """The trigger group as read."""
    return Trigger(
        plc_boot_id=int(values[Signal.PLC_BOOT_ID]),
        trigger_seq=int(values[Signal.TRIGGER_SEQ]),
        part_id=text(values[Signal.PART_ID]),
        lot_id=text(values[Signal.LOT_ID]),
        product_id=text(values[Signal.PRODUCT_ID]),
        encoder_pos=int(values[Signal.ENCODER_POS]),
        takt_ms=int(values[Signal.TAKT_MS]),
    )


def text(value: Any) -> str:
    """Text from the controller: any characters, at most 512 of them."""
    return str(value or "")[:512]
