"""Every socket that a running stack listens on: on loopback, or it asks for the token.

The library fixes the address of some of Ray's ports. A Serve replica's server unpickles what it is
sent: it is asked to run a command, without the token, and must not.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from infra.stack.process import descendants
from tests.integration.conftest import Plant, start_plant, tiny
from tests.integration.sockets import METHODS, Command, Stranger, first_field, listening

pytestmark = pytest.mark.slow
REPLICA = METHODS[0]


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
    body = first_field(pickle.dumps(Command(ran)))
    found = [
        socket
        for server in running.stack.components.values()
        for process in (psutil.Process(server.pid), *descendants(server.pid))
        for socket in listening(process)
    ]
    assert len(found) > 5, "a stack listens on more"
    beyond = [socket for socket in found if not socket.is_on_loopback]
    assert beyond, "Serve's replicas listen on every interface: this test must see them"
    refused = {str(s): Stranger("127.0.0.1", s.port, 10.0).called(REPLICA, body) for s in beyond}
    assert set(refused.values()) == {grpc.StatusCode.UNAUTHENTICATED}, refused
    assert not ran.exists()
