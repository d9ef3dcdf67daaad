"""The traces of a gateway's parts: each begins with the trigger and ends with what became of it.

It looks on, as the meter does: it is told of each step of the handshake, of each message that is
sent and of each decision that is heard. Nothing waits for it, and a failure of it is a line in the
log: the part goes on.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, ParamSpec
from uuid import UUID

import structlog

from connectors.handshake.state import State
from connectors.handshake.values import Capture, Command, Decide, Part, ResultReport
from streams.codes import AckOutcome, DecisionSource, ResultCode
from streams.envelope import Message
from streams.events import Decision
from streams.kafka.delivery import Delivery
from streams.kafka.spans import on_its_way, sending
from streams.log import Outage
from streams.tracing.context import TraceContext, context_of, root_of
from streams.tracing.spans import Attribute, Span, SpanKind, SpanSink, wall_s
from streams.tracing.words import is_asked_about, words_of_decision

log = structlog.get_logger(__name__)
MOST: Final = 4096
"""Parts that are remembered; the oldest are forgotten beyond."""
Send = Callable[[str, Message], Awaitable[None]]
P = ParamSpec("P")


@dataclass(frozen=True)
class _Heard:
    """A decision that came."""

    way: Span | None
    """From who sent it; None where its message said no ``traceparent``."""
    arrived_s: float
    words: dict[str, Attribute]


@dataclass
class _Traced:
    """What is known of one part."""

    triggered_s: float
    """Seconds since the epoch."""
    steps: list[Span] = field(default_factory=list)
    """Those that are told once it is known whether the part is kept."""
    heard: dict[UUID, _Heard] = field(default_factory=dict)
    """By the id of the result."""
    is_odd: bool = False
    is_over: bool = False


class PartTraces:
    """Follows each part of one gateway.

    Args:
        line: name of the line.
        station: name of the station.
        sink: takes the spans.
        share: of the parts that are traced whatever becomes of them, 0 to 1.
        keep_odd: whether those that are odd, held or late are traced too.
    """

    def __init__(
        self, line: str, station: str, sink: SpanSink, share: float, keep_odd: bool
    ) -> None:
        self._line, self._station = line, station
        self._sink, self._share, self._keep_odd = sink, share, keep_odd
        self._parts: OrderedDict[UUID, _Traced] = OrderedDict()
        self._outage = Outage()

    def saw(self, before: State, after: State, commands: Sequence[Command]) -> None:
        """What one step of the handshake ordered."""
        for command in commands:
            match command:
                case Capture(part) | Decide(part) if part.frame_id is not None:
                    traced = self._of(part.frame_id, part.triggered_at)
                    traced.is_odd |= isinstance(command, Decide)
                case ResultReport():
                    self._quietly(self._reported, command)

    def heard(self, record: Delivery, decision: Decision) -> None:
        """A decision came from Kafka."""
        if (decision.line, decision.station) == (self._line, self._station):
            self._quietly(self._heard, record, decision)

    async def sent(self, topic: str, message: Message, send: Send) -> None:
        """Send a message with the header of the part's trace. Raises what ``send`` does."""
        found: list[UUID] = []
        self._quietly(lambda: found.extend(part_of(message)))
        if not found:
            await send(topic, message)
            return
        root, began_s = self._root(found[0]), time.time()
        own = root.child()
        await send(topic, replace(message, headers=(*message.headers, own.header)))
        step = sending(own, root.span_id, topic, began_s)
        self._quietly(self._sent, found[0], root, message, step)

    def _quietly(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a trace must never cost a part
            why = f"{type(error).__name__}: {error}"
            if self._outage.failed(why) is not None:
                log.warning("trace.lost", why=why)

    def _of(self, part: UUID, triggered_at: float | None = None) -> _Traced:
        found = self._parts.get(part)
        if found is None:
            now_s = time.time() if triggered_at is None else wall_s(triggered_at)
            found = self._parts[part] = _Traced(now_s)
            while len(self._parts) > MOST:
                self._parts.popitem(last=False)
        return found

    def _root(self, part: UUID) -> TraceContext:
        """The first span, sampled where the part's spans are kept as far as that is known."""
        root, traced = root_of(part, self._share), self._parts.get(part)
        is_odd = self._keep_odd and traced is not None and traced.is_odd
        return root._replace(is_sampled=True) if is_odd else root

    def _heard(self, record: Delivery, decision: Decision) -> None:
        traced, sender = self._of(decision.part_identity), context_of(record.headers)
        way = None if sender is None else on_its_way(sender, record)
        arrived_s, words = wall_s(record.arrived_s), words_of_decision(decision)
        traced.heard[decision.result_id] = _Heard(way, arrived_s, words)
        traced.is_odd |= is_asked_about(decision)

    def _sent(self, part: UUID, root: TraceContext, message: Message, step: Span) -> None:
        traced = self._parts.get(part)
        steps = [step]
        if traced is not None:
            steps = [*_exposed(traced.triggered_s, root, message, step.began_s), step]
            if not traced.is_over:
                traced.steps += steps
                return
        if root.is_sampled:
            self._sink.tell(steps)

    def _reported(self, report: ResultReport) -> None:
        part, verdict = report.part, report.verdict
        is_own = part is not None and part.verdict is verdict
        traced = self._of(report.frame_id, part.triggered_at if part is not None else None)
        traced.is_odd |= is_own and not _is_plain(report)
        root, heard = self._root(report.frame_id), traced.heard.pop(verdict.result_id, None)
        steps = traced.steps
        if is_own:
            traced.steps, traced.is_over = [], True
        if not root.is_sampled:
            return
        told = [heard.way] if heard is not None and heard.way is not None else []
        above_id = told[0].context.span_id if told else root.span_id
        if is_own and part is not None and part.written_at is not None:
            told += _written(report, part, root, above_id, heard)
        else:
            told.append(_refused(report, root, above_id, heard))
        if is_own and part is not None:
            told += [*steps, self._whole(report, part, root)]
        self._sink.tell(told)

    def _whole(self, report: ResultReport, part: Part, root: TraceContext) -> Span:
        trigger, verdict = part.trigger, report.verdict
        said: dict[str, Attribute] = {
            "andon.line": self._line,
            "andon.station": self._station,
            "andon.part": trigger.part_id,
            "andon.lot": trigger.lot_id,
            "andon.product": trigger.product_id,
            "andon.frame": str(report.frame_id),
            "andon.trigger_seq": part.key.trigger_seq,
            "andon.action": verdict.code.name.lower(),
            "andon.source": verdict.source.value,
            "andon.reason": verdict.reason.name,
            "andon.outcome": report.outcome.value,
        }
        began_s = wall_s(part.triggered_at)
        ended_s = max(time.time(), began_s)
        return Span(root, None, "part", began_s, ended_s, attributes=said, error=_error(report))


def part_of(message: Message) -> list[UUID]:
    """The part that one of the gateway's own messages is about, if it is about one."""
    found = _header(message, "ce_partframeid") or _header(message, "ce_frameid")
    if not found and message.value.startswith(b"{"):
        body = json.loads(message.value)
        found = body.get("part_frame_id") or body.get("frame_id") or ""
    return [UUID(found)] if found else []


def _exposed(triggered_s: float, root: TraceContext, message: Message, sent_s: float) -> list[Span]:
    """What came before a frame was sent: its exposure, and the write of the journal."""
    text = _header(message, "ce_capturedat")
    if not text:  # no frame
        return []
    captured_s, shot = datetime.fromisoformat(text).timestamp(), _header(message, "ce_shotname")
    said: dict[str, Attribute] = {"andon.shot": shot} if shot else {}
    above = root.span_id
    if not triggered_s < captured_s <= sent_s:  # several shots state the trigger's moment
        return [Span(root.child(), above, "capture", triggered_s, sent_s, attributes=said)]
    return [
        Span(root.child(), above, "capture", triggered_s, captured_s, attributes=said),
        Span(root.child(), above, "store", captured_s, sent_s, attributes=said),
    ]


def _written(
    report: ResultReport, part: Part, root: TraceContext, above_id: int, heard: _Heard | None
) -> list[Span]:
    """From the decision's arrival to the controller's acknowledgement."""
    assert part.written_at is not None
    written_s = wall_s(part.written_at)
    began_s = written_s if heard is None else min(heard.arrived_s, written_s)
    acked_at = report.acknowledged_at
    ended_s = max(time.time() if acked_at is None else wall_s(acked_at), written_s)
    said: dict[str, Attribute] = {} if heard is None else dict(heard.words)
    after: dict[str, Attribute] = {
        "andon.outcome": report.outcome.value,
        "andon.result_seq": part.result_seq,
    }
    write, client = root.child(), SpanKind.CLIENT
    taken, error = "controller acknowledges", _error(report)
    return [
        Span(write, above_id, "write the result", began_s, written_s, client, said),
        Span(root.child(), write.span_id, taken, written_s, ended_s, client, after, error),
    ]


def _refused(report: ResultReport, root: TraceContext, above_id: int, heard: _Heard | None) -> Span:
    """A result that was not written."""
    ended_s = time.time()
    began_s = ended_s if heard is None else min(heard.arrived_s, ended_s)
    said: dict[str, Attribute] = {} if heard is None else dict(heard.words)
    said["andon.outcome"] = report.outcome.value
    name, error = "result not written", _error(report)
    return Span(root.child(), above_id, name, began_s, ended_s, attributes=said, error=error)


def _is_plain(report: ResultReport) -> bool:
    """Whether nobody will ask about the part: it passed as a normal one, and in time."""
    source, code = report.verdict.source, report.verdict.code
    passed = source is DecisionSource.EXPERT and code is ResultCode.PASS
    return passed and report.outcome is AckOutcome.ACKNOWLEDGED


def _error(report: ResultReport) -> str:
    failed = report.outcome is not AckOutcome.ACKNOWLEDGED
    return (report.detail or report.outcome.value) if failed else ""


def _header(message: Message, name: str) -> str:
    return next((raw.decode() for key, raw in message.headers if key == name), "")
