"""A stack whose port somebody has starts nothing."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from andon.stack.local import LocalStack, StackPorts
from infra.stack.process import ProcessError


def test_the_replicas_of_two_stacks_do_not_share_an_ingress(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = replace(StackPorts.free(), ingress=other.getsockname()[1])
        stack = LocalStack(tmp_path / "stack", ports)
        with pytest.raises(ProcessError, match=r"in use.*ANDON_SERVE__INGRESS"):
            stack.start()
    assert stack.components == {}
    assert not stack.folder.exists()
