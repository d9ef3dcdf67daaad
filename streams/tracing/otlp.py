"""``SpanSink`` over OpenTelemetry's SDK: batches in a thread of its own, by OTLP over HTTP.

The queue has a bound, and what does not fit is dropped; a receiver that is slow or away costs
spans and nothing else.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace import SpanKind as OtelKind

from streams.tracing.context import TraceContext
from streams.tracing.settings import PATH, TracingSettings
from streams.tracing.spans import Span, SpanKind

QUEUE: Final = 4096
"""Spans that wait, at most."""
BATCH: Final = 256
EVERY_S: Final = 1.0
"""How often what waits is sent."""
CLOSE_S: Final = 3.0
"""How long closing may take: a process ends whatever the receiver does."""
_KINDS: Final = {kind: OtelKind[kind.name] for kind in SpanKind}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class OtlpSpans:
    """Sends spans to the receiver of the settings.

    Args:
        settings: with an ``otlp_endpoint``.
        resource: what all spans of the process have in common, by OpenTelemetry's names.
        version: of the program.
    """

    def __init__(
        self, settings: TracingSettings, resource: Mapping[str, str], version: str = ""
    ) -> None:
        exporter = OTLPSpanExporter(
            settings.otlp_endpoint + PATH, timeout=settings.timeout_s, compression=Compression.Gzip
        )
        self._processor = BatchSpanProcessor(
            exporter,
            max_queue_size=QUEUE,
            schedule_delay_millis=EVERY_S * 1000,
            max_export_batch_size=BATCH,
        )
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope("andon", version)

    def tell(self, spans: Sequence[Span]) -> None:
        """As the port says."""
        for span in spans:
            self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """As the port says."""
        # the library would wait half a minute for a receiver that hangs
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _readable(self, span: Span) -> ReadableSpan:
        context = span.context
        parent = None if span.parent_id is None else _context(context, span.parent_id)
        failed = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET)
        return ReadableSpan(
            span.name,
            context=_context(context, context.span_id),
            parent=parent,
            resource=self._resource,
            attributes=dict(span.attributes),
            kind=_KINDS[span.kind],
            status=failed,
            start_time=int(span.began_s * 1e9),
            end_time=int(span.ended_s * 1e9),
            instrumentation_scope=self._scope,
        )


def _context(context: TraceContext, span_id: int) -> SpanContext:
    return SpanContext(context.trace_id, span_id, False, _SAMPLED)
