"""From a verdict to its outcome: it is buffered, written, acknowledged, or too late."""

from dataclasses import replace

from connectors.handshake.sequence import following, steps
from connectors.handshake.state import CLOSED_LIMIT, State
from connectors.handshake.values import (
    Command,
    Decide,
    Decided,
    Part,
    PartKey,
    Phase,
    ResultRefused,
    ResultReport,
    ResultWritten,
    WriteResult,
)
from streams.codes import AckOutcome, FaultCode, ReasonCode

Step = tuple[State, list[Command]]
WRITTEN_LATE = "written after the window: the controller's default may stand"
"""Of a result that the controller was told all the same."""


def keep(state: State, part: Part) -> State:
    """The state with this part in it."""
    return replace(state, parts={**state.parts, part.key: part})


def forget(state: State, part: Part) -> State:
    """The state without this part, of which only the result that stood is remembered."""
    parts = {key: other for key, other in state.parts.items() if key != part.key}
    closed = dict(state.closed)
    if part.verdict is not None:
        closed[part.key] = part.verdict.result_id
    while len(closed) > CLOSED_LIMIT:
        del closed[next(iter(closed))]
    queue = tuple(key for key in state.queue if key != part.key)
    backlog = tuple(key for key in state.backlog if key != part.key)
    return replace(state, parts=parts, closed=closed, queue=queue, backlog=backlog)


def report(
    part: Part, outcome: AckOutcome, detail: str = "", acknowledged_at: float | None = None
) -> ResultReport:
    """The report of what became of the part's verdict."""
    assert part.verdict is not None
    assert part.frame_id is not None
    return ResultReport(
        part, part.key, part.frame_id, part.verdict, outcome, acknowledged_at, detail
    )


def decided(state: State, now: float, event: Decided) -> Step:
    """Take a decision: the first in time counts, every other is reported and not written."""
    part = state.parts.get(event.key)
    refused = ResultReport(part, event.key, event.frame_id, event.verdict, AckOutcome.LATE)
    if part is None:
        return state, _after_the_fact(state, event, refused)
    if part.frame_id is not None and part.frame_id != event.frame_id:
        return state, [refused._replace(part=None, outcome=AckOutcome.OLD_BOOT)]
    if part.verdict is not None:
        repeated = part.verdict.result_id == event.verdict.result_id
        return state, [] if repeated else [refused._replace(detail="another decision stands")]
    part = replace(part, frame_id=event.frame_id, verdict=event.verdict)
    if part.missed:
        part = replace(part, phase=Phase.QUEUED)
        state = replace(keep(state, part), backlog=(*state.backlog, part.key))
        return pump(state, now)
    if now >= part.deadline:
        return forget(state, part), [report(part, AckOutcome.LATE, "the window is over")]
    if len(state.queue) >= state.config.unacknowledged_limit:
        state = _overrun(forget(state, part))
        detail = f"overrun: {len(state.queue)} results are not acknowledged"
        return state, [report(part, AckOutcome.UNACKNOWLEDGED, detail)]
    part = replace(part, phase=Phase.QUEUED)
    return pump(replace(keep(state, part), queue=(*state.queue, part.key)), now)


def _overrun(state: State) -> State:
    """A result is lost to the controller, because it does not acknowledge those before."""
    return replace(state, overrun=True, faults=state.faults | {FaultCode.RESULT_OVERRUN})


def _is_unanswered(state: State) -> bool:
    """Whether the result in the registers was not acknowledged in its time."""
    head = state.head()
    return head is not None and head.phase is Phase.REPORTED


def _after_the_fact(state: State, event: Decided, refused: ResultReport) -> list[Command]:
    stood = state.closed.get(event.key)
    if stood is not None:
        repeated = stood == event.verdict.result_id
        return [] if repeated else [refused._replace(detail="another decision stood")]
    if state.plc_boot_id is not None and event.key.plc_boot_id != state.plc_boot_id:
        return [refused._replace(outcome=AckOutcome.OLD_BOOT)]
    return []


def pump(state: State, now: float) -> Step:
    """Order the next write if the controller's registers are free."""
    commands: list[Command] = []
    while state.queue:
        part = state.parts[state.queue[0]]
        if part.phase in (Phase.WRITING, Phase.WRITTEN):
            return state, commands
        if part.phase is Phase.REPORTED and part.written_at is not None:
            return state, commands
        if part.phase is Phase.QUEUED and (part.missed or now < part.deadline):
            break
        if part.phase is Phase.QUEUED:
            commands.append(report(part, AckOutcome.LATE, "the window ended in the buffer"))
        state = forget(state, part)
    if not state.online:
        return state, commands
    if not state.queue and state.backlog:
        state = replace(state, queue=state.backlog[:1], backlog=state.backlog[1:])
    if not state.queue:
        return state, commands
    seq = following(state.result_seq, state.result_last)
    if seq == state.result_ack_seq:  # kept over a restart: it would not move for this result
        seq = following(seq, state.result_last)
    part = replace(state.parts[state.queue[0]], phase=Phase.WRITING, result_seq=seq, ordered_at=now)
    state = replace(keep(state, part), result_seq=seq, pending_told=state.pending)
    return state, [*commands, WriteResult(part, state.pending)]


def write_ended(state: State, now: float, event: ResultWritten | ResultRefused) -> Step:
    """Both writes of the result came back; or the controller refuses it, never hears of it, and
    its own default holds the part."""
    part = state.parts.get(event.key)
    if part is None or part.phase is not Phase.WRITING:
        return state, []
    if isinstance(event, ResultWritten):
        return keep(state, replace(part, phase=Phase.WRITTEN, written_at=now)), []
    state, more = pump(forget(state, part), now)
    return state, [report(part, AckOutcome.UNACKNOWLEDGED, event.why), *more]


def acknowledged(state: State, now: float, result_seq: int) -> Step:
    """Close the part whose result the controller took, and order the next write.

    Only its own number answers it. Another one is of an earlier result: a later one was not written
    yet, so a number beyond it is what stood there before the controller's counters began anew.
    """
    part = state.head()
    if part is None or result_seq == 0 or part.result_seq != result_seq:
        return state, []
    if part.phase is Phase.QUEUED:
        return state, []
    commands = [] if part.phase is Phase.REPORTED else [confirm(part, now)]
    state, more = pump(forget(state, part), now)
    return state, [*commands, *more]


def confirm(part: Part, now: float) -> ResultReport:
    """The report of a result that the controller took.

    One that was written after its window is late: the controller acknowledges it all the same, and
    its own default stands. That happens to holds of missed triggers and to a write that took long.
    ``detail`` says where the gateway cannot know what the controller did.
    """
    part = part if part.written_at is not None else replace(part, written_at=now)
    if is_late(part):
        return report(part, AckOutcome.LATE, WRITTEN_LATE, now)
    detail = ""
    if part.unheard:
        detail = "written after a silence of the gateway: the controller's default may stand"
    return report(part, AckOutcome.ACKNOWLEDGED, detail, now)


def is_late(part: Part) -> bool:
    """Whether its result was written after its window."""
    return part.written_at is not None and part.written_at > part.deadline


def due(state: State, now: float) -> Step:
    """What time brings: the watchdog's decisions, results too late, writes not acknowledged."""
    config = state.config
    commands: list[Command] = []
    for part in list(state.parts.values()):
        if part.phase is Phase.OPEN and not part.asked:
            if now >= part.deadline - config.watchdog_margin_s:
                part = replace(part, asked=True)
                state = keep(state, part)
                commands.append(Decide(part, ReasonCode.NO_DECISION))
        elif part.phase is Phase.QUEUED and not part.missed and now >= part.deadline:
            commands.append(report(part, AckOutcome.LATE, "the window ended in the buffer"))
            state = forget(_overrun(state) if _is_unanswered(state) else state, part)
        elif part.phase is Phase.WRITTEN and _overdue(part, now - config.ack_timeout_s):
            commands.append(_unanswered(part))
            state = keep(state, replace(part, phase=Phase.REPORTED))
    return state, commands


def _unanswered(part: Part) -> ResultReport:
    """The report of a written result without a ResultAckSeq; one that came late stays late."""
    if is_late(part):
        return report(part, AckOutcome.LATE, f"{WRITTEN_LATE}; no ResultAckSeq")
    return report(part, AckOutcome.UNACKNOWLEDGED, "no ResultAckSeq")


def _overdue(part: Part, since: float) -> bool:
    return part.written_at is not None and part.written_at <= since


def release(state: State, now: float) -> Step:
    """After a fault reset results that were reported as lost no longer hold their place."""
    for part in list(state.parts.values()):
        if part.phase is Phase.REPORTED:
            state = forget(state, part)
    return pump(state, now)


def read_back(state: State, now: float, last: int, of_trigger: int, ack: int) -> Step:
    """After a reconnect find out which of the ordered results the controller has.

    ``last`` is ``ResultSeq``, ``of_trigger`` ``ResultTriggerSeq``, ``ack`` ``ResultAckSeq``.
    """
    commands: list[Command] = []
    for part in list(state.parts.values()):
        if part.result_seq == 0 or part.phase not in (
            Phase.WRITING,
            Phase.WRITTEN,
            Phase.REPORTED,
        ):
            continue
        behind = steps(part.result_seq, last, state.result_last)
        there = behind > 0 or (behind == 0 and of_trigger == part.key.trigger_seq)
        if there and part.written_at is None and part.ordered_at is not None:
            part = replace(part, written_at=part.ordered_at)
        if there and (behind > 0 or part.result_seq == ack):
            if part.phase is not Phase.REPORTED:
                commands.append(confirm(part, now))
            state = forget(state, part)
        elif there:
            when = part.written_at if part.written_at is not None else now
            phase = Phase.REPORTED if part.phase is Phase.REPORTED else Phase.WRITTEN
            state = _in_front(keep(state, replace(part, phase=phase, written_at=when)), part.key)
        elif part.phase is Phase.REPORTED:
            state = forget(state, part)
        else:
            again = replace(part, phase=Phase.QUEUED, result_seq=0, written_at=None)
            state = _in_front(keep(state, again), part.key)
    return replace(state, result_seq=last), commands


def _in_front(state: State, key: PartKey) -> State:
    if key in state.queue or key in state.backlog:
        return state
    return replace(state, queue=(key, *state.queue))
