"""A receiver of OTLP over HTTP in this process, as a collector is one."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from uuid import UUID

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received(NamedTuple):
    """One span as it arrived."""

    service: str
    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    began_s: float
    ended_s: float
    kind: int
    error: str
    attributes: dict[str, str | int | float | bool]


class OtlpReceiver:
    """Keeps every span; may refuse, or hang until it is told to go on."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.calls = 0
        self.refuses = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.calls += 1
                receiver.goes_on.wait(60)
                if receiver.refuses or self.path != "/v1/traces":
                    self.send_error(400)
                    return
                is_zipped = self.headers.get("content-encoding") == "gzip"
                receiver.spans += _read(gzip.decompress(body) if is_zipped else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def receiving(self) -> Iterator["OtlpReceiver"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.goes_on.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def of(self, part: UUID) -> list[Received]:
        """The spans of a part's trace, in the order in which they began."""
        found = [span for span in self.spans if span.trace_id == part.int]
        return sorted(found, key=lambda span: (span.began_s, span.ended_s))


def _read(body: bytes) -> Iterator[Received]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next(
            one.value.string_value
            for one in of_resource.resource.attributes
            if one.key == "service.name"
        )
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Received(
                    service,
                    int.from_bytes(span.trace_id, "big"),
                    int.from_bytes(span.span_id, "big"),
                    int.from_bytes(span.parent_span_id, "big") or None,
                    span.name,
                    span.start_time_unix_nano / 1e9,
                    span.end_time_unix_nano / 1e9,
                    span.kind,
                    span.status.message if span.status.code == 2 else "",
                    {one.key: _value(one.value) for one in span.attributes},
                )


def _value(value: object) -> str | int | float | bool:
    kind = value.WhichOneof("value")  # type: ignore[attr-defined]
    found: str | int | float | bool = getattr(value, kind)
    return found
