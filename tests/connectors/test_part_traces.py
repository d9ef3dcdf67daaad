"""The gateway's spans of its parts: from the trigger to what became of it."""

from uuid import UUID

import pytest

from connectors.gateway.part_traces import PartTraces, part_of
from connectors.handshake import values as hs
from streams.codes import AckOutcome, ReasonCode, ResultCode
from streams.envelope import Message, to_message
from streams.events import Decision, PartOnLine
from streams.ids import new_frame_id
from streams.kafka.delivery import Delivery
from streams.ports import Failure
from streams.roles.decisions import Moment, fallback
from streams.topics import DECISIONS, FRAMES
from streams.tracing.context import HEADER, context_of, root_of
from tests.connectors.watched_world import played_world
from tests.connectors.world import World
from tests.contracts.twins.policies import TwinPolicy
from tests.contracts.twins.publisher import TwinPublisher
from tests.contracts.twins.span_sink import TwinSpans
from tests.streams.made import frame


def traces(spans: TwinSpans, share: float = 1.0, keep_odd: bool = True) -> PartTraces:
    return PartTraces("line-1", "cam-1", spans, share, keep_odd)


def decision_on(part: PartOnLine, **changes: object) -> Decision:
    said = Failure(ReasonCode.LATE, "Timeout", "no answer")
    made = fallback(part, said, TwinPolicy("tile"), Moment())
    return made.model_copy(update=changes)


def record_of(decision: Decision, *headers: tuple[str, bytes]) -> Delivery:
    message = to_message(decision)
    own = [*message.headers, *headers]
    return Delivery(DECISIONS.name, 0, 1, message.key, message.value, own)


def test_each_part_has_one_whole_span_that_ends_in_its_acknowledgement() -> None:
    spans = TwinSpans()
    world = played_world(traces(spans).saw)
    assert len(world.reports) == 20
    for report in world.reports:
        found = spans.of(report.frame_id)
        assert set(found) == {"part", "write the result", "controller acknowledges"}
        whole, root = found["part"], root_of(report.frame_id, 1.0)
        assert (whole.parent_id, whole.context) == (None, root)
        assert whole.attributes["andon.outcome"] == "acknowledged"
        assert (
            found["controller acknowledges"].parent_id == found["write the result"].context.span_id
        )


def test_out_of_the_sample_only_what_is_asked_about_is_told() -> None:
    """The expert let the others pass in time."""
    spans = TwinSpans()
    world = played_world(traces(spans, share=0.0).saw, silent=0.3)
    held = {r.frame_id for r in world.reports if r.verdict.source.value == "watchdog"}
    assert 0 < len(held) < 20
    assert {UUID(int=span.context.trace_id) for span in spans.spans} == held
    none = TwinSpans()
    played_world(traces(none, share=0.0, keep_odd=False).saw, silent=0.3)
    assert not none.spans


@pytest.mark.asyncio
async def test_a_frame_is_sent_with_the_header_of_its_part() -> None:
    spans, publisher, shot = TwinSpans(), TwinPublisher(), frame(b"picture")
    found = traces(spans)
    await found.sent(FRAMES.name, to_message(shot, b"picture"), publisher.send)
    ((_, message),) = publisher.sent
    told = context_of(message.headers)
    (sent,) = spans.spans
    assert told == sent.context
    assert (sent.name, sent.parent_id) == ("send andon.frames", root_of(shot.frame_id, 1).span_id)


@pytest.mark.asyncio
async def test_shots_are_of_their_parts_trace() -> None:
    part = new_frame_id()
    shot = frame(shot=2, shots_expected=3, part_frame_id=part)
    assert part_of(to_message(shot)) == [part]
    assert part_of(to_message(decision_on(shot))) == [part]
    assert part_of(to_message(frame(frame_id=part))) == [part]


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"frame_id": 7}', b"\xff\xfe"])
async def test_a_message_of_no_part_is_sent_as_it_is(value: bytes) -> None:
    spans, publisher = TwinSpans(), TwinPublisher()
    message = Message(b"key", value, (("ce_id", b"1"),))
    await traces(spans).sent("andon.acks", message, publisher.send)
    assert publisher.sent == [("andon.acks", message)]
    assert not spans.spans


@pytest.mark.asyncio
async def test_a_broker_that_refuses_is_heard_of() -> None:
    publisher = TwinPublisher(down=True)
    with pytest.raises(Exception, match="away"):
        await traces(TwinSpans()).sent(FRAMES.name, to_message(frame()), publisher.send)


@pytest.mark.parametrize("header", [b"", b"\xff", b"x" * 9999, b"00-0-0-01"])
def test_a_hostile_header_of_a_decision_is_no_header(header: bytes) -> None:
    spans, decided = TwinSpans(), decision_on(frame())
    traces(spans).heard(record_of(decided, (HEADER, header)), decided)
    assert not spans.spans


def test_a_decision_that_came_late_follows_who_sent_it() -> None:
    spans, shot = TwinSpans(), frame()
    found, decided = traces(spans), decision_on(shot)
    sender = root_of(shot.frame_id, 1.0).child()
    found.heard(record_of(decided, sender.header), decided)
    verdict = hs.Verdict(
        decided.result_id, decided.source, ResultCode.of(decided.action), ReasonCode.LATE
    )
    key = hs.PartKey(1, 7)
    report = hs.ResultReport(None, key, shot.frame_id, verdict, AckOutcome.LATE)
    world = World()
    found.saw(world.state, world.state, [report])
    way, refused = spans.spans
    assert (way.parent_id, way.name) == (sender.span_id, "andon.decisions on its way")
    assert (refused.parent_id, refused.error) == (way.context.span_id, "late")


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.gateway.part_traces.MOST", 20)
    found = traces(TwinSpans())
    for _ in range(30):
        decided = decision_on(frame())
        found.heard(record_of(decided), decided)
    assert len(found._parts) == 20
