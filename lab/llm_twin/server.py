"""Runs the twin: in a thread for tests, or in the foreground for the command line."""

import socket
import threading
import time
from types import TracebackType

import uvicorn

from lab.llm_twin.app import Twin, make_app
from streams.errors import AndonError


class TwinError(AndonError):
    """The twin did not start or stop."""


class TwinServer:
    """A twin on a loopback port, in a thread of its own. A context manager.

    >>> with TwinServer(Twin()) as server:
    ...     server.base_url
    'http://127.0.0.1:.../v1'
    """

    def __init__(self, twin: Twin, host: str = "127.0.0.1", port: int = 0) -> None:
        self.twin = twin
        self._socket = _listen(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        config = uvicorn.Config(
            make_app(twin), log_level="critical", access_log=False, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="llm-twin", daemon=True)

    @property
    def base_url(self) -> str:
        """What a client takes as ``base_url``."""
        return f"http://{self.host}:{self.port}/v1"

    def serve(self) -> None:
        """Serve in the calling thread until interrupted."""
        self._run()

    def __enter__(self) -> "TwinServer":
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TwinError(f"the twin did not start on port {self.port}")
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            raise TwinError("the twin did not stop within 10 s")

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise TwinError(f"{host}:{port} cannot be used: {error.strerror}") from error
    return listener
