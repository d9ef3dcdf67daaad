"""Spans, where they go, and what a process does for one part until it is done."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from streams.events import PartOnLine
from streams.tracing.context import TraceContext

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]
NOTHING: Final[Attributes] = MappingProxyType({})


class SpanKind(Enum):
    """What a span is to the one before it; the names are OpenTelemetry's."""

    INTERNAL = "internal"
    SERVER = "server"
    """Somebody in another process waits for it."""
    CLIENT = "client"
    """It waits for another process."""
    PRODUCER = "producer"
    """It sends a message."""
    CONSUMER = "consumer"
    """A message on its way, until it is received."""


class Span(NamedTuple):
    """Something that was done for a part, and is over."""

    context: TraceContext
    parent_id: int | None
    """The span that led to it, of the same trace; None: the trace begins with it."""
    name: str
    began_s: float
    """Seconds since the epoch, by this host's clock."""
    ended_s: float
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Attributes = NOTHING
    error: str = ""
    """Why it failed; empty: it did not."""


class SpanSink(Protocol):
    """Where spans go. Whoever tells one never waits and never hears of a failure."""

    def tell(self, spans: Sequence[Span]) -> None:
        """Take these; what cannot be kept is dropped."""
        ...

    def close(self) -> None:
        """Send what is left, within a few seconds."""
        ...


@dataclass(eq=False)
class Work:
    """What a process does for one part: a span with its steps, told once it is over.

    Whether it is told may turn out meanwhile: of a part that is not in the sample everything is
    forgotten, unless the part turns out to be odd and odd ones are kept.
    """

    parent: TraceContext
    name: str
    sink: SpanSink
    keeps_odd: bool = False
    """Whether a part that turns out to be odd is told though it is not in the sample."""
    kind: SpanKind = SpanKind.INTERNAL
    began_s: float = field(default_factory=time.time)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    error: str = ""

    def __post_init__(self) -> None:
        self._own = self.parent.child()
        self._steps: list[Span] = []
        self._is_kept, self._is_over = self.parent.is_sampled, False

    def __str__(self) -> str:
        """The ``traceparent`` of who works for it."""
        return str(self.context)

    @property
    def context(self) -> TraceContext:
        """Its own span."""
        return self._own._replace(is_sampled=self._is_kept)

    def is_odd(self) -> None:
        """The part turned out to be one that people will ask about."""
        self._is_kept |= self.keeps_odd

    def add(self, step: Span) -> None:
        """A step that is over; one that ends after the work itself is told alone."""
        if not self._is_over:
            self._steps.append(step)
        elif self._is_kept:
            self.sink.tell([step])

    def end(self) -> None:
        """It is over."""
        self._is_over = True
        if not self._is_kept:
            return
        now_s, context = time.time(), self.context
        own = Span(
            context,
            self.parent.span_id,
            self.name,
            self.began_s,
            max(now_s, self.began_s),
            self.kind,
            self.attributes,
            self.error,
        )
        self.sink.tell([own, *self._steps])
        self._steps.clear()


CURRENT: ContextVar[Work | None] = ContextVar("andon_work", default=None)
"""What this task works on. None while nothing is traced: then asking is all that it costs."""
PART: ContextVar[PartOnLine | None] = ContextVar("andon_part", default=None)
"""The part that this task works on: the log says it."""


@contextmanager
def step(
    name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes = NOTHING
) -> Iterator[None]:
    """A step of the current work; nothing where nothing is traced."""
    work = CURRENT.get()
    if work is None:
        yield
        return
    began_s, error = time.time(), ""
    try:
        yield
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        context = work.context
        ended_s = max(time.time(), began_s)
        work.add(
            Span(context.child(), context.span_id, name, began_s, ended_s, kind, attributes, error)
        )


def wall_s(monotonic_s: float) -> float:
    """A moment of the monotonic clock as seconds since the epoch."""
    return time.time() - (time.monotonic() - monotonic_s)
