"""Every socket that a running line listens on: on loopback, or it refuses a call without the token.

The library fixes the address of some of Ray's ports. A Serve replica's server unpickles what it is
sent: it is asked to run a command, without the token, and must not.
"""

import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from infra.stack.process import descendants
from tests.integration.conftest import Plant, start_plant, tiny

pytestmark = pytest.mark.slow
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
REPLICA = "/ray.serve.ASGIService/HandleRequest"


class Command:
    """Runs a program where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[list[str]]]:
        return subprocess.call, (["touch", str(self.path)],)


def message(first_field: bytes) -> bytes:
    """A protobuf message whose first field holds the bytes."""
    length, size = len(first_field), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return b"\x0a" + size + bytes([length]) + first_field


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    try:
        found = process.net_connections(kind="inet")
    except psutil.Error:
        return []
    return [(c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN]


def answer(port: int, body: bytes) -> grpc.StatusCode | None:
    """How a call without a token is answered; None where it is served."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(REPLICA)
        try:
            call(body, timeout=10)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return None


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Plant]:
    """A stack whose models need no training."""
    made = start_plant(tmp_path, models=tiny)
    try:
        yield made
    finally:
        made.stack.stop()


def test_each_is_on_loopback_or_asks_for_the_token(running: Plant, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    body = message(pickle.dumps(Command(ran)))
    seen, beyond = 0, {}
    for server in running.stack.components.values():
        for process in (psutil.Process(server.pid), *descendants(server.pid)):
            for host, port in listening(process):
                seen += 1
                if host not in LOOPBACK:
                    beyond[port] = f"{process.name()} on {host}:{port}"
    assert seen > 5, "a stack listens on more"
    assert beyond, "Serve's replicas listen on every interface: this test must see them"
    refused = {what: answer(port, body) for port, what in beyond.items()}
    assert set(refused.values()) == {grpc.StatusCode.UNAUTHENTICATED}, refused
    assert not ran.exists()
