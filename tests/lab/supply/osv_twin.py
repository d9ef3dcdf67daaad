"""A service on loopback that speaks the protocol of OSV's queries over a few advisories."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from packaging.version import Version


@dataclass(frozen=True)
class Advisory:
    """A weakness of one package, from a version on until it was mended."""

    name: str
    package: str
    introduced: str
    fixed: str
    also: tuple[str, ...] = ()

    def hits(self, package: str, version: str) -> bool:
        return package == self.package and Version(self.introduced) <= Version(version) < Version(
            self.fixed
        )

    def document(self) -> dict[str, object]:
        """The advisory in OSV's schema."""
        events = [{"introduced": self.introduced}, {"fixed": self.fixed}]
        return {
            "schema_version": "1.6.0",
            "id": self.name,
            "aliases": list(self.also),
            "summary": f"something in {self.package}",
            "modified": "2026-01-01T00:00:00Z",
            "affected": [
                {
                    "package": {"name": self.package, "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}],
                }
            ],
        }


@dataclass
class OsvTwin:
    """What the service knows and was asked."""

    advisories: Sequence[Advisory]
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, body: bytes) -> dict[str, object]:
        query = json.loads(body)
        assert query["package"]["ecosystem"] == "PyPI"
        package, version = query["package"]["name"], query["version"]
        self.asked.append((package, version))
        found = [a.document() for a in self.advisories if a.hits(package, version)]
        return {"vulns": found} if found else {}


@contextmanager
def osv_twin(*advisories: Advisory, status: int = 200) -> Iterator[OsvTwin]:
    """The running service; ``status`` is the one of every answer."""
    twin = OsvTwin(advisories, status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/query"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            text = json.dumps(twin.answer(body)).encode()
            self.send_response(twin.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        twin.url = f"http://127.0.0.1:{server.server_port}/v1/query"
        try:
            yield twin
        finally:
            server.shutdown()
