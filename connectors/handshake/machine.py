"""The handshake between line controller and gateway as a pure state machine.

``step(state, now, input)`` gives the new state and the commands that follow. No I/O, no clock.
The rules, in words: ``docs/handshake.md``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from connectors.handshake import changeover, results, triggers
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.results import Step
from connectors.handshake.sequence import steps
from connectors.handshake.signals import TRIGGER_GROUP, Signal, SignalValues, number, text
from connectors.handshake.silence import over_silence
from connectors.handshake.state import LATCHED_FAULTS, State
from connectors.handshake.values import (
    BeatWritten,
    Command,
    Connected,
    CounterMoved,
    Decide,
    Decided,
    ExposureEnded,
    FaultChanged,
    Input,
    Notice,
    Part,
    PartKey,
    Phase,
    RecipePrepared,
    RecipeRefused,
    RecipeRequested,
    ResultRefused,
    ResultWritten,
    Resynchronised,
    TriggerAge,
    TriggerSeen,
    WriteStatus,
)
from streams.codes import FaultCode, ReasonCode
from streams.ports import Trigger


def step(state: State, now: float, event: Input) -> tuple[State, list[Command]]:
    """One input. Status signals that changed come first, as one write.

    A controller that started cold shows none of them any more, though its server may never have
    gone away: then all are written.
    """
    new, commands = _apply(state, now, event)
    new, more = changeover.advance(new, now)
    commands = [*commands, *more]
    cold = any(isinstance(command, Resynchronised) for command in commands)
    before = state.outputs if state.online and not cold else {}
    if not new.online:
        return new, commands
    changed = {s: v for s, v in new.outputs.items() if before.get(s) != v or s not in before}
    if changed and new.pending != new.pending_told:  # 1 and 0 are not worth a write of their own
        changed[Signal.PENDING_RESULTS] = new.pending
        new = replace(new, pending_told=new.pending)
    if changed:
        return new, [WriteStatus(changed), *commands]
    return new, commands


def restore(
    config: HandshakeConfig,
    plc_boot_id: int | None,
    last_trigger_seq: int,
    parts: Iterable[Part],
    closed: Mapping[PartKey, UUID],
    result_seq: int | None = None,
    whole: bool = True,
    heard_at: float = 0.0,
) -> State:
    """The state after a restart, from the journal. ``Connected`` then reads back the rest.

    Args:
        result_seq: the newest ``ResultSeq`` in the journal; None: it does not say.
        whole: False where the journal is damaged, and lines may be missing.
        heard_at: when the newest trigger in the journal was given; others came later.
    """
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
        result_seq=result_seq or 0,
        result_seq_known=result_seq is not None,
        memory_whole=whole,
        heartbeat_at=heard_at,
    )


def _apply(state: State, now: float, event: Input) -> Step:
    match event:
        case Notice.TICK:
            return _tick(state, now)
        case TriggerSeen():
            return triggers.trigger_seen(state, now, event)
        case ExposureEnded():
            return triggers.exposure_ended(state, event)
        case Decided():
            return results.decided(state, now, event)
        case BeatWritten() | ResultWritten() | ResultRefused():
            return _write_ended(over_silence(state, now), now, event)
        case CounterMoved():
            return _counter_moved(state, now, event)
        case Connected():
            state = replace(
                over_silence(state, now),
                result_last=event.result_last,
                trigger_last=event.trigger_last,
            )
            return _connected(state, now, event.values)
        case Notice.DISCONNECTED:
            return replace(state, online=False, alive=False, pending_told=None), []
        case Notice.STOP_REQUESTED:
            return replace(state, stop_request=True), []
        case RecipeRequested() | RecipePrepared() | RecipeRefused():
            return changeover.heard(state, now, event)
        case FaultChanged():
            faults = state.faults - {event.code}
            faults = faults | {event.code} if event.active else faults
            return replace(state, faults=faults), []


def _write_ended(
    state: State, now: float, event: BeatWritten | ResultWritten | ResultRefused
) -> Step:
    if isinstance(event, BeatWritten):
        return replace(state, spoke_at=event.ordered_at), []
    return results.write_ended(state, now, event)


def _counter_moved(state: State, now: float, event: CounterMoved) -> Step:
    match event.signal:
        case Signal.PLC_HEARTBEAT if event.value != state.plc_heartbeat:
            state = _heard(state, now, event.value)
            return replace(state, alive=True), []
        case Signal.RESULT_ACK_SEQ:
            state = replace(state, result_ack_seq=event.value)
            return results.acknowledged(state, now, event.value)
        case Signal.TRIGGER_ENABLE:
            return replace(state, enabled=bool(event.value)), []
        case Signal.FAULT_RESET_SEQ if state.fault_reset_seq is None:
            return replace(state, fault_reset_seq=event.value), []
        case Signal.FAULT_RESET_SEQ if event.value != state.fault_reset_seq:
            return _reset(state, now, event.value)
    return state, []


def _tick(state: State, now: float) -> Step:
    config = state.config
    if now - state.beat_at >= config.heartbeat_s:
        beat = _next_beat(state.vision_heartbeat)
        state = replace(state, vision_heartbeat=beat, beat_at=now)
    if state.online and now - state.heartbeat_at >= config.dead_after_s:
        faults = state.faults | {FaultCode.PLC_HEARTBEAT}
        state = replace(state, alive=False, faults=faults)
    return results.due(state, now)


def _next_beat(beat: int) -> int:
    """It moves with the first write after a reconnect too: a controller that gives its trigger
    between Ready and the next beat would else hold a part that is then decided all the same."""
    return (beat + 1) & 0xFFFFFFFF


def _heard(state: State, now: float, beat: int) -> State:
    """The controller's heartbeat stands at ``beat``, and its dead time begins anew."""
    faults = state.faults - {FaultCode.PLC_HEARTBEAT}
    return replace(state, plc_heartbeat=beat, heartbeat_at=now, faults=faults)


def _connected(state: State, now: float, values: SignalValues) -> Step:
    current = trigger_of(values)
    known, heard_at = state.plc_boot_id, state.heartbeat_at
    state = replace(
        _heard(state, now, number(values, Signal.PLC_HEARTBEAT)),
        online=True,
        alive=False,
        enabled=bool(values[Signal.TRIGGER_ENABLE]),
        takt_ms=current.takt_ms,
        fault_reset_seq=(
            number(values, Signal.FAULT_RESET_SEQ)
            if Signal.FAULT_RESET_SEQ in values
            else state.fault_reset_seq
        ),
        vision_heartbeat=_next_beat(number(values, Signal.VISION_HEARTBEAT)),
        beat_at=now,
        result_ack_seq=number(values, Signal.RESULT_ACK_SEQ),
        stop_request=state.stop_request or bool(values[Signal.STOP_REQUEST]),
    )
    if known is None:
        state = _first_contact(state, current, values)
    if known not in (None, current.plc_boot_id) or _went_back(state, current):
        state, commands = triggers.resynchronise(state, current.plc_boot_id, current.trigger_seq)
        state = _remembering(state, number(values, Signal.RESULT_SEQ))
        state, more = changeover.reconnected(state, now, values)
        return state, [*commands, *more]
    commands = []
    if known is not None:
        state = replace(state, missed_count=number(values, Signal.MISSED_COUNT))
        acknowledged = number(values, Signal.TRIGGER_ACK_SEQ)
        doubt = _doubt(state, number(values, Signal.RESULT_SEQ)) or _other(
            state, acknowledged, current.trigger_seq
        )
        state, commands = results.read_back(
            state,
            now,
            number(values, Signal.RESULT_SEQ),
            number(values, Signal.RESULT_TRIGGER_SEQ),
            number(values, Signal.RESULT_ACK_SEQ),
        )
        if doubt:
            state, more = triggers.forgotten(state, acknowledged, current.trigger_seq, doubt)
            commands += more
    state = _remembering(state, number(values, Signal.RESULT_SEQ))
    state, interrupted = _interrupted(state)
    state, more = triggers.missed_while_away(state, now, current, heard_at)
    state, recipe = changeover.reconnected(state, now, values)
    return state, [*commands, *interrupted, *more, *recipe]


def _remembering(state: State, result_seq: int) -> State:
    """From here on the memory is the controller's own, and whole."""
    return replace(
        state, result_seq=result_seq, result_seq_known=True, memory_whole=True, has_served=True
    )


def _doubt(state: State, result_seq: int) -> str:
    """Why results may have been written that this gateway knows nothing of; empty: there are none.

    Every result has its number on disk before the controller sees it. So a controller that is ahead
    of a journal was served by one that this one is only a copy or a part of.
    """
    if not state.memory_whole:
        return "the journal is damaged"
    known = state.result_seq
    if state.result_seq_known and steps(known, result_seq, state.result_last) > 0:
        return f"ResultSeq is {result_seq}, the journal ends at {known}"
    return ""


def _other(state: State, acknowledged: int, current: int) -> str:
    """Why another gateway served the controller since this process did; empty: none did.

    It acknowledged triggers that this one never saw. Of an earlier process's journal that proves
    nothing: a trigger may be acknowledged before its line is on disk.
    """
    last, wrap = state.last_trigger_seq, state.trigger_last
    is_ahead = steps(last, acknowledged, wrap) > 0 and steps(acknowledged, current, wrap) >= 0
    if state.has_served and acknowledged and is_ahead:
        return f"TriggerAckSeq is {acknowledged}, this gateway's last is {last}: another one served"
    return ""


def _first_contact(state: State, current: Trigger, values: SignalValues) -> State:
    """No memory of this controller: it remembers what was acknowledged to it."""
    acknowledged = number(values, Signal.TRIGGER_ACK_SEQ)
    return replace(
        state,
        plc_boot_id=current.plc_boot_id,
        last_trigger_seq=acknowledged or current.trigger_seq,
        exposure_done_seq=number(values, Signal.EXPOSURE_DONE_SEQ),
        missed_count=number(values, Signal.MISSED_COUNT),
        result_seq=number(values, Signal.RESULT_SEQ),
    )


def _went_back(state: State, current: Trigger) -> bool:
    last = state.last_trigger_seq
    if current.trigger_seq == 0:
        return last != 0
    return state.ahead(current.trigger_seq) < 0


def _interrupted(state: State) -> Step:
    """Parts whose exposure a restart cut short: the picture is gone, they are held."""
    commands: list[Command] = []
    for part in list(state.parts.values()):
        cut = part.phase is Phase.OPEN and part.asked and state.exposing != part.key
        if cut:
            reason = ReasonCode.MISSED_TRIGGER if part.missed else ReasonCode.CAPTURE_FAILED
            why = "the gateway was started again meanwhile"
            commands.append(Decide(part, reason, why))
    return state, commands


def _reset(state: State, now: float, seq: int) -> Step:
    state = replace(
        state,
        fault_reset_seq=seq,
        faults=state.faults - LATCHED_FAULTS,
        overrun=False,
        stop_request=False,
    )
    state, commands = changeover.again(state, now)
    state, more = results.release(state, now)
    return state, [*commands, *more]


def trigger_seen_of(
    values: SignalValues, frame_id: UUID, age: TriggerAge = TriggerAge()
) -> TriggerSeen | None:
    """A trigger as read, where signals of bad quality are left out; None when it cannot be told
    whether there is one."""
    if not values.keys() >= {Signal.PLC_BOOT_ID, Signal.TRIGGER_SEQ}:
        return None
    whole = {signal: signal.default for signal in TRIGGER_GROUP} | dict(values)
    readable = values.keys() >= set(TRIGGER_GROUP)
    return TriggerSeen(trigger_of(whole), frame_id, readable, age)


def trigger_of(values: SignalValues) -> Trigger:
    """The trigger group as read."""
    return Trigger(
        plc_boot_id=number(values, Signal.PLC_BOOT_ID),
        trigger_seq=number(values, Signal.TRIGGER_SEQ),
        part_id=text(values, Signal.PART_ID),
        lot_id=text(values, Signal.LOT_ID),
        product_id=text(values, Signal.PRODUCT_ID),
        encoder_pos=number(values, Signal.ENCODER_POS),
        takt_ms=number(values, Signal.TAKT_MS),
    )
