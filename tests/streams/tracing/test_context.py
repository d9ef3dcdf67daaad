"""W3C trace context in and out, whatever the header holds."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.ids import new_frame_id
from streams.tracing.context import (
    HEADER,
    TraceContext,
    context_of,
    read_traceparent,
    root_of,
)

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ids = st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.booleans()


@given(*ids)
def test_what_is_written_is_read(trace: int, span: int, is_sampled: bool) -> None:
    context = TraceContext(trace, span, is_sampled)
    assert context_of([("ce_id", b"1"), context.header]) == context


@given(*ids)
def test_opentelemetry_reads_what_is_written(trace: int, span: int, is_sampled: bool) -> None:
    text = str(TraceContext(trace, span, is_sampled))
    theirs = get_current_span(TraceContextTextMapPropagator().extract({HEADER: text}))
    found = theirs.get_span_context()
    assert (found.trace_id, found.span_id) == (trace, span)
    assert found.trace_flags.sampled == is_sampled


@given(
    st.one_of(
        st.binary(max_size=80), st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-.{16}-..").map(str.encode)
    )
)
def test_any_bytes_are_read_or_ignored(raw: bytes) -> None:
    """And nothing is read that OpenTelemetry would not read."""
    found = context_of([(HEADER, raw)])
    if found is not None:
        text = raw.decode()
        theirs = get_current_span(TraceContextTextMapPropagator().extract({HEADER: text}))
        assert theirs.get_span_context().trace_id == found.trace_id


@pytest.mark.parametrize(
    "text",
    [
        "", "00", GOOD[:-1], GOOD + "0", GOOD.upper(), f" {GOOD}", f"{GOOD}\n", "ff" + GOOD[2:],
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16), GOOD + "-more", "x" * 10_000,
        GOOD.replace("4bf9", "\u0664bf9"),
    ],
)  # fmt: skip
def test_what_is_no_header_is_ignored(text: str) -> None:
    assert read_traceparent(text) is None
    assert context_of([(HEADER, text.encode())]) is None


def test_a_later_version_may_say_more() -> None:
    assert read_traceparent("01" + GOOD[2:] + "-more") == read_traceparent(GOOD)


@pytest.mark.parametrize("headers", [None, [], {}, [(HEADER, None)], {HEADER: None}])
def test_a_message_may_have_no_header(headers: None) -> None:
    assert context_of(headers) is None


def test_as_many_parts_are_sampled_as_are_asked_for() -> None:
    roots = [root_of(new_frame_id(), 0.25) for _ in range(4000)]
    assert 800 < sum(root.is_sampled for root in roots) < 1200


def test_a_part_has_one_trace_whoever_derives_it() -> None:
    part = UUID("019ac000-0000-7000-8000-000000000001")
    assert root_of(part, 0.5) == root_of(part, 0.5)
    assert root_of(part, 0.5).trace_id == part.int
    assert root_of(UUID(int=0), 1.0).trace_id
