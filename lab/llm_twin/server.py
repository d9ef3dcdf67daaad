"""Runs the twin: in a thread, in the foreground, or as a process of its own."""

import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from infra.stack.process import free_port, port_is_open
from infra.stack.server import HOST, launch
from lab.llm_twin.app import Twin, make_app
from lab.llm_twin.behaviour import Counters
from streams.errors import AndonError

START_TIMEOUT_S = 180.0


class TwinError(AndonError):
    """The twin did not start or stop."""


class TwinServer:
    """A twin on a loopback port, in a thread of its own. A context manager.

    >>> with TwinServer(Twin()) as server:
    ...     server.base_url
    'http://127.0.0.1:.../v1'
    """

    def __init__(self, twin: Twin, host: str = HOST, port: int = 0) -> None:
        self.twin = twin
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            raise TwinError(f"{host}:{port} cannot be used: {error.strerror}") from error
        self.host, self.port = self._socket.getsockname()[:2]
        config = uvicorn.Config(
            make_app(twin), log_level="critical", access_log=False, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.serve, name="llm-twin", daemon=True)

    @property
    def base_url(self) -> str:
        """What a client takes as ``base_url``."""
        return f"http://{self.host}:{self.port}/v1"

    def serve(self) -> None:
        """Serve in the calling thread until interrupted."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def __enter__(self) -> "TwinServer":
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TwinError(f"the twin did not start on port {self.port}")
            time.sleep(0.005)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            raise TwinError("the twin did not stop within 10 s")


@contextmanager
def running_twin(log: Path, *arguments: str) -> Iterator[str]:
    """``andon llm twin`` in a child process; yields its ``base_url``.

    Raises:
        ProcessError: it did not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "andon", "llm", "twin", "--port", str(port), *arguments]
    process = launch("llm twin", command, log, lambda _: port_is_open(port), START_TIMEOUT_S)
    try:
        yield f"http://{HOST}:{port}/v1"
    finally:
        process.stop()


def twin_options(base_url: str, **endpoint: object) -> dict[str, object]:
    """``classifier.options`` for VELM or a cascade over a local twin at ``base_url``."""
    twin = {"name": "twin", "base_url": base_url, "model": "twin", "zone": "loopback"}
    return {
        "endpoints": [{**twin, "logprobs": True, **endpoint}],
        "cascade": {"order": ["prototypes", "twin"]},
    }


def twin_counters(base_url: str) -> Counters:
    """What a twin has counted so far."""
    address = urlsplit(base_url).netloc
    with urllib.request.urlopen(f"http://{address}/twin/counters", timeout=10) as response:
        return Counters.model_validate_json(response.read())
