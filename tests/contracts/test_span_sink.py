"""The contract of ``streams.tracing.spans.SpanSink``: the twin and the one over OTLP keep it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from streams.tracing.context import TraceContext
from streams.tracing.otlp import BATCH, QUEUE, OtlpSpans
from streams.tracing.settings import TracingSettings
from streams.tracing.spans import Span, SpanKind, SpanSink
from tests.contracts.twins.span_sink import TwinSpans
from tests.streams.tracing.receiver import OtlpReceiver
from tests.waiting import until

Row = tuple[int, int, int | None, str, float, float, str, dict[str, object]]
SENT_S = 1_800_000_000.0


@dataclass
class Sinking:
    """A sink and what it was told, as far as it arrived."""

    sink: SpanSink
    arrived: Callable[[], list[Row]]
    hang: Callable[[], None] = field(default=lambda: None)
    refuse: Callable[[], None] = field(default=lambda: None)


@pytest.fixture(params=["twin", "otlp"])
def sinking(request: pytest.FixtureRequest) -> Iterator[Sinking]:
    if request.param == "twin":
        twin = TwinSpans()
        yield Sinking(twin, lambda: [_row(span) for span in twin.spans])
        return
    receiver = OtlpReceiver()
    with receiver.receiving():
        settings = TracingSettings(otlp_endpoint=receiver.url, timeout_s=1)
        sink = OtlpSpans(settings, {"service.name": "andon-test"}, "1.2.3")

        def refuse() -> None:
            receiver.refuses = True

        def arrived() -> list[Row]:
            return [
                (s.trace_id, s.span_id, s.parent_id, s.name, s.began_s, s.ended_s, s.error, said)
                for s in receiver.spans
                for said in [dict[str, object](s.attributes)]
            ]

        yield Sinking(sink, arrived, receiver.goes_on.clear, refuse)
        receiver.goes_on.set()
        sink.close()


def _row(span: Span) -> Row:
    own, said = span.context, dict(span.attributes)
    times = span.began_s, span.ended_s
    return own.trace_id, own.span_id, span.parent_id, span.name, *times, span.error, said


def made(number: int, parent: int | None = None) -> Span:
    context = TraceContext((1 << 100) + number, 7 + number, True)
    said = {"andon.part": f"P-{number}\N{SNOWMAN}\x00", "n": number, "share": 0.5, "odd": True}
    error = "" if number % 2 else "late"
    return Span(context, parent, "score", SENT_S, SENT_S + 0.5, SpanKind.SERVER, said, error)


@pytest.mark.asyncio
async def test_spans_arrive_as_they_were_told(sinking: Sinking) -> None:
    told = [made(0), made(1, parent=7), made(2, parent=8)]
    sinking.sink.tell(told)
    await until(lambda: len(sinking.arrived()) == 3, 20, "every span")
    assert sorted(sinking.arrived(), key=lambda row: row[1]) == [_row(span) for span in told]


@pytest.mark.asyncio
async def test_what_waits_is_sent_at_the_end(sinking: Sinking) -> None:
    sinking.sink.tell([made(1)])
    await asyncio.to_thread(sinking.sink.close)
    assert [row[1] for row in sinking.arrived()] == [8]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["hang", "refuse"])
async def test_a_receiver_that_takes_nothing_holds_nobody_up(sinking: Sinking, how: str) -> None:
    """More is told than waits at most; telling and closing return all the same."""
    getattr(sinking, how)()
    for number in range(QUEUE + 500):
        sinking.sink.tell([made(number)])
    async with asyncio.timeout(30):
        await asyncio.to_thread(sinking.sink.close)
    sinking.sink.tell([made(0)])  # after the end it is dropped


@pytest.mark.asyncio
async def test_a_receiver_that_takes_none_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    receiver = OtlpReceiver()
    receiver.refuses = True
    with receiver.receiving():
        settings = TracingSettings(otlp_endpoint=receiver.url, timeout_s=1)
        sink = OtlpSpans(settings, {"service.name": "andon-test"})
        for number in range(4 * BATCH):
            sink.tell([made(number)])
        await until(lambda: receiver.calls >= 3, 20, "three batches")
        receiver.refuses = False
        sink.tell([made(0)])
        await until(lambda: bool(receiver.spans), 20, "a span")
        sink.close()
    said = [r.getMessage() for r in caplog.records if "traces" in r.getMessage()]
    assert [receiver.url in line for line in said] == [True, True]
    assert "takes no traces" in said[0]
    assert "takes traces again" in said[1]
