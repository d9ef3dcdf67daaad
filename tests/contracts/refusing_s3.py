"""An object store that answers as it is told: every refusal of S3, without a server that has it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAMES = {
    **{400: "InvalidArgument", 403: "AccessDenied", 404: "NoSuchBucket"},
    **{500: "InternalError", 507: "XMinioStorageFull"},
}


@dataclass
class RefusingS3:
    """Keeps objects by path; a path that ends as one of ``refuses`` gets that status."""

    refuses: dict[str, int] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    address: str = ""

    def status_for(self, path: str) -> int:
        return next((s for end, s in self.refuses.items() if path.endswith(end)), 200)


@contextmanager
def refusing_s3() -> Iterator[RefusingS3]:
    """Serve on loopback until the context ends."""
    store = RefusingS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self._answer(lambda path: store.objects.__setitem__(path, body))

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self, keep: Any = lambda _: None) -> None:
            path = self.path.partition("?")[0]
            status = store.status_for(path)
            if status == 200:
                keep(path)
            name = NAMES.get(status, "")
            body = b"" if status == 200 else f"<Error><Code>{name}</Code></Error>".encode()
            self.send_response(status)
            self.send_header("content-type", "application/xml")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
