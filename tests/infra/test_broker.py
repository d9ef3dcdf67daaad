"""The embedded broker starts, answers, refuses a taken port and leaves nothing behind."""

import socket
from pathlib import Path

import pytest

from infra.stack.broker import Broker, answers_metadata, start_broker
from infra.stack.process import ProcessError
from infra.stack.server import HOST
from streams.errors import UnavailableError


def test_it_answers_and_stops(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "broker.log"
    with start_broker(log_path=log) as broker:
        answers_metadata(HOST, broker.port)
        assert broker.process.running
    assert not broker.process.running
    broker.stop()
    with pytest.raises(UnavailableError):
        answers_metadata(HOST, broker.port, timeout_s=0.2)
    assert "listening" in log.read_text()


def test_a_taken_port_is_named(broker: Broker) -> None:
    with pytest.raises(ProcessError, match=f"port {broker.port} .* is in use"):
        start_broker(port=broker.port)


def test_the_same_port_again_after_a_kill() -> None:
    first = start_broker()
    first.kill()
    with start_broker(port=first.port) as second:
        assert second.bootstrap_servers == first.bootstrap_servers


def test_what_is_no_broker_is_said() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(UnavailableError, match="no Kafka broker"):
        answers_metadata("127.0.0.1", silent.getsockname()[1], timeout_s=0.2)


def test_bad_storage_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"(?s)ended with code .*broker\.log"):
        start_broker(storage="nonsense", log_path=tmp_path / "broker.log")
