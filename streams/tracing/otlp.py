"""``SpanSink`` over OpenTelemetry's SDK: batches in a thread of its own, by OTLP over HTTP.

The queue has a bound, and what does not fit is dropped; a receiver that is slow or away costs
spans and nothing else.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace import SpanKind as OtelKind

from streams.log import Outage
from streams.masking import masking_logger
from streams.tracing.context import TraceContext
from streams.tracing.settings import PATH, TracingSettings
from streams.tracing.spans import Span, SpanKind

log = masking_logger(__name__)
QUEUE: Final = 4096
"""Spans that wait, at most."""
BATCH: Final = 256
EVERY_S: Final = 1.0
"""How often what waits is sent."""
CLOSE_S: Final = 3.0
"""How long closing may take: a process ends whatever the receiver does."""
_KINDS: Final = {kind: OtelKind[kind.name] for kind in SpanKind}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class _ToldExporter:
    """Sends each batch once, and says by one line in the log that the receiver takes none."""

    def __init__(self, settings: TracingSettings) -> None:
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # it is said here
        self._where = settings.otlp_endpoint
        self._exporter = OTLPSpanExporter(
            self._where + PATH, timeout=settings.timeout_s, compression=Compression.Gzip
        )
        self._outage = Outage()
        self._has_given_up = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """As the SDK says."""
        if self._has_given_up:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if (told := self._outage.ended()) is not None:
                log.warning("%s takes traces again after %s s", self._where, told.seconds)
        elif (told := self._outage.failed("takes none")) is not None:
            log.warning("%s takes no traces (batches lost: %d)", self._where, told.failures)
        return result

    def give_up(self) -> None:
        """Send no more; a call that is under way ends by its own deadline."""
        self._has_given_up = True
        self._exporter.shutdown()

    def shutdown(self) -> None:
        """As the SDK says."""
        self.give_up()


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
        self._exporter = _ToldExporter(settings)
        self._processor = BatchSpanProcessor(
            self._exporter,
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
        self._exporter.give_up()

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
