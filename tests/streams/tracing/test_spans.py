"""What a process does for a part, as spans."""

import pytest

from streams.tracing.context import TraceContext
from streams.tracing.settings import TracingSettings
from streams.tracing.spans import CURRENT, SpanKind, Work, step
from tests.contracts.twins.span_sink import TwinSpans

SAMPLED = TraceContext(5, 6, True)
OTHER = SAMPLED._replace(is_sampled=False)


def work(parent: TraceContext, sink: TwinSpans, keeps_odd: bool = True) -> Work:
    begun = Work(parent, "inspect", sink, keeps_odd)
    CURRENT.set(begun)
    with step("ask", SpanKind.CLIENT, {"n": 1}):
        pass
    return begun


@pytest.fixture(autouse=True)
def nothing_before() -> None:
    CURRENT.set(None)


def test_a_sampled_part_is_told_with_its_steps() -> None:
    sink = TwinSpans()
    work(SAMPLED, sink).end()
    own, asked = sink.spans
    assert (own.name, own.parent_id, own.context.trace_id) == ("inspect", 6, 5)
    assert (asked.name, asked.parent_id, asked.attributes) == ("ask", own.context.span_id, {"n": 1})


def test_another_part_is_forgotten_unless_it_is_odd() -> None:
    sink = TwinSpans()
    forgotten = work(OTHER, sink)
    assert not forgotten.context.is_sampled
    forgotten.end()
    unwanted = work(OTHER, sink, keeps_odd=False)
    unwanted.is_odd()
    unwanted.end()
    assert not sink.spans
    odd = work(OTHER, sink)
    odd.is_odd()
    assert odd.context.is_sampled
    assert str(odd).endswith("-01")
    odd.end()
    assert [span.name for span in sink.spans] == ["inspect", "ask"]


def test_a_step_after_the_end_is_told_alone() -> None:
    sink = TwinSpans()
    work(SAMPLED, sink).end()
    with step("late answer"):
        pass
    assert sink.spans[-1].name == "late answer"


def test_a_step_that_fails_says_so_and_fails() -> None:
    sink = TwinSpans()
    begun = work(SAMPLED, sink)
    with pytest.raises(ValueError, match="no"), step("ask"):
        raise ValueError("no")
    begun.end()
    assert sink.spans[-1].error == "ValueError"


def test_where_nothing_is_traced_a_step_is_nothing() -> None:
    with step("ask"):
        assert CURRENT.get() is None


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""),
        ("http://tempo:4318", "http://tempo:4318"),
        ("https://tempo/otlp/", "https://tempo/otlp"),
        ("http://tempo:4318/v1/traces", "http://tempo:4318"),
    ],
)
def test_an_endpoint_is_read(given: str, read: str) -> None:
    settings = TracingSettings(otlp_endpoint=given)
    assert (settings.otlp_endpoint, settings.is_on) == (read, bool(read))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("tempo:4318", "http://HOST:4318"),
        ("grpc://tempo:4317", "http://HOST:4318"),
        ("http://tempo:4317", "4318"),
        ("http://user:secret@tempo:4318", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("http://tempo:port", "http://tempo:4318"),
        ("http://", "http://HOST:4318"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        TracingSettings(otlp_endpoint=given)
    assert "secret@" not in str(refused.value.args[0] if refused.value.args else "")
