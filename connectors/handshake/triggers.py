"""From the trigger to the picture: triggers are accepted, missed or resynchronised."""

from dataclasses import replace
from uuid import UUID

from connectors.handshake.changeover import under_recipe
from connectors.handshake.results import Step, forget, keep, pump, report
from connectors.handshake.sequence import span, steps
from connectors.handshake.silence import just_ended
from connectors.handshake.state import State
from connectors.handshake.values import (
    Capture,
    Command,
    Decide,
    ExposureEnded,
    MemoryBehind,
    Part,
    PartKey,
    Phase,
    Resynchronised,
    TriggerAge,
    TriggerSeen,
)
from streams.codes import AckOutcome, FaultCode, ReasonCode
from streams.ports import Trigger

_UNSTATED_S = 1.0
"""A window that nobody has stated: it only tells how late the hold of such a part came."""


def trigger_seen(state: State, now: float, event: TriggerSeen) -> Step:
    """Capture the part, or hold it: triggers skipped or given while not Ready are missed."""
    trigger = event.trigger
    if not state.online:
        return state, []
    distance = state.ahead(trigger.trigger_seq)
    if trigger.plc_boot_id != state.plc_boot_id or trigger.trigger_seq == 0 or distance < 0:
        if trigger.plc_boot_id == state.plc_boot_id and distance == 0:
            return state, []
        return resynchronise(state, trigger.plc_boot_id, trigger.trigger_seq)
    if distance == 0:
        return state, []
    trigger, recipe, contradicts = under_recipe(state, trigger)
    unfit = contradicts or _why_held(state, event)
    ready = state.ready and not unfit
    state = _with_takt(state, event)
    before = _numbers(state, trigger, state.config.missed_limit + 1)[:-1]
    gap = [replace(_unread(trigger), trigger_seq=seq) for seq in before]
    jumped = f"TriggerSeq jumped from {state.last_trigger_seq} to {trigger.trigger_seq}"
    why = unfit or f"the gateway was not ready: {state.why_not_ready}"
    state, commands = miss(state, now, gap, distance - 1, jumped)
    state = replace(state, last_trigger_seq=trigger.trigger_seq)
    if not ready:
        state, more = miss(state, now, [trigger], 1, why, event.frame_id, age=event.age)
        return state, [*commands, *more]
    part = replace(_part(state, now, trigger, event.frame_id, event.age), recipe=recipe)
    state = replace(keep(state, part), exposing=part.key)
    return state, [*commands, Capture(part)]


def _numbers(state: State, trigger: Trigger, limit: int) -> list[int]:
    """The numbers after the last trigger up to this one, the newest ``limit`` of them."""
    return span(state.last_trigger_seq, trigger.trigger_seq, limit, state.trigger_last)


def _why_held(state: State, event: TriggerSeen) -> str:
    """Why the part is held whether the gateway is ready or not, in words; empty: it is not."""
    if not event.readable:
        return "a signal of its group has no good quality, and the log names it"
    if PartKey(event.trigger.plc_boot_id, event.trigger.trigger_seq) in state.parts:
        return "the part that had this number before TriggerSeq wrapped has no outcome yet"
    return state.config.window_fault(event.trigger.takt_ms)


def _with_takt(state: State, event: TriggerSeen) -> State:
    """The takt as the controller states it; one that gives no window is a fault until the next."""
    if not event.readable:
        return state
    faults = state.faults - {FaultCode.NO_WINDOW}
    if state.config.window_fault(event.trigger.takt_ms):
        return replace(state, faults=faults | {FaultCode.NO_WINDOW})
    return replace(state, faults=faults, takt_ms=event.trigger.takt_ms)


def miss(
    state: State,
    now: float,
    triggers: list[Trigger],
    count: int,
    why: str,
    frame_id: UUID | None = None,
    heard_at: float | None = None,
    age: TriggerAge = TriggerAge(),
) -> Step:
    """Count ``count`` misses, and demand a hold for each of ``triggers``.

    ``why`` says in words how it came about. ``heard_at``: the triggers came while nobody was
    connected, at any time since the controller was heard last, so their windows count from then.
    """
    commands: list[Command] = []
    for trigger in triggers:
        part = replace(_part(state, now, trigger, frame_id, age), missed=True, asked=True)
        waiting = sum(other.missed for other in state.parts.values())
        if part.key in state.parts or waiting >= state.config.missed_limit:
            continue
        if heard_at is not None:
            part = replace(part, deadline=max(now, heard_at + part.deadline - now))
        state = keep(state, part)
        commands.append(Decide(part, ReasonCode.MISSED_TRIGGER, why))
    return replace(state, missed_count=(state.missed_count + count) & 0xFFFFFFFF), commands


def _part(
    state: State, now: float, trigger: Trigger, frame_id: UUID | None, age: TriggerAge
) -> Part:
    """The part of a trigger that is seen now; its window began when the trigger was given."""
    key = PartKey(trigger.plc_boot_id, trigger.trigger_seq)
    deadline = now - age.at_most_s + _window_s(state, trigger.takt_ms)
    triggered_at = now - age.known_s
    return Part(key, trigger, frame_id, triggered_at, deadline, unheard=just_ended(state, now))


def _window_s(state: State, takt_ms: int) -> float:
    """The window of a part; where the controller states none, that of the part before."""
    for takt in (takt_ms, state.takt_ms):
        if not state.config.window_fault(takt):
            return state.config.window_s(takt)
    return _UNSTATED_S


def _unread(trigger: Trigger) -> Trigger:
    """A trigger whose group was never read: only its number is known."""
    return replace(trigger, part_id="", lot_id="", product_id="", encoder_pos=0)


def exposure_ended(state: State, event: ExposureEnded) -> Step:
    """The part may move; without a picture it is held."""
    if state.exposing == event.key:
        state = replace(state, exposing=None, exposure_done_seq=event.key.trigger_seq)
    part = state.parts.get(event.key)
    if event.captured or part is None or part.phase is not Phase.OPEN or part.asked:
        return state, []
    part = replace(part, asked=True)
    return keep(state, part), [Decide(part, ReasonCode.CAPTURE_FAILED, event.why)]


def resynchronise(state: State, boot_id: int, trigger_seq: int) -> Step:
    """After a cold start of the controller take over its counters and drop the open parts."""
    dropped = tuple(state.parts.values())
    commands: list[Command] = [Resynchronised(boot_id, dropped)]
    for part in dropped:
        if part.verdict is not None and part.phase is not Phase.REPORTED:
            commands.append(report(part, AckOutcome.OLD_BOOT, "the controller restarted"))
        state = forget(state, part)
    state = replace(
        state,
        plc_boot_id=boot_id,
        last_trigger_seq=trigger_seq,
        exposing=None,
        parts={},
        queue=(),
        backlog=(),
        closed={} if boot_id == state.plc_boot_id else state.closed,
        overrun=False,
        missed_count=0,
        exposure_done_seq=trigger_seq,
    )
    return state, commands


def forgotten(state: State, acknowledged: int, current: int, why: str) -> Step:
    """Results may have been written that the journal lacks: no second one is.

    The later of its last trigger and ``TriggerAckSeq`` counts. What is open up to there gets no
    result any more, and the controller's own default holds it. Nothing is reported of it, because
    what became of it is not known. A result that surely was written is still waited for.

    Args:
        acknowledged: ``TriggerAckSeq``.
        current: ``TriggerSeq``.
    """
    last = state.trigger_last
    if steps(acknowledged, current, last) < 0:
        acknowledged = current
    open_ = (Phase.OPEN, Phase.QUEUED)
    dropped = tuple(part for part in state.parts.values() if part.phase in open_)
    commands: list[Command] = [MemoryBehind(why, dropped)]
    for part in dropped:
        state = forget(state, part)
    if steps(state.last_trigger_seq, acknowledged, last) > 0:
        state = replace(state, last_trigger_seq=acknowledged)
    return state, commands


def missed_while_away(state: State, now: float, current: Trigger, heard_at: float) -> Step:
    """After a reconnect in the same run every trigger since ``heard_at`` is missed."""
    count = state.ahead(current.trigger_seq)
    numbers = _numbers(state, current, state.config.missed_limit)
    triggers = [
        current if seq == current.trigger_seq else replace(_unread(current), trigger_seq=seq)
        for seq in numbers
    ]
    why = "the gateway had no connection to the controller"
    state, commands = miss(state, now, triggers, count, why, heard_at=heard_at)
    state = replace(state, last_trigger_seq=current.trigger_seq)
    if state.exposing is None and count:
        state = replace(state, exposure_done_seq=current.trigger_seq)
    state, more = pump(state, now)
    return state, [*commands, *more]
