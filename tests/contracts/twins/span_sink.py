"""The twin of ``streams.tracing.spans.SpanSink``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from streams.tracing.spans import Span


@dataclass
class TwinSpans:
    """Keeps what it is told."""

    spans: list[Span] = field(default_factory=list)
    is_closed: bool = False

    def tell(self, spans: Sequence[Span]) -> None:
        if not self.is_closed:
            self.spans += spans

    def close(self) -> None:
        self.is_closed = True

    def of(self, part: UUID) -> dict[str, Span]:
        """The spans of a part's trace by their names."""
        return {span.name: span for span in self.spans if span.context.trace_id == part.int}
