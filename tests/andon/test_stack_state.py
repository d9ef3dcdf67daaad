"""What an `andon stack up` that was killed has left is found, told and stopped."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from andon.stack import state
from andon.stack.local import LocalStack
from andon.stack.state import FILE, end, known, running, silent
from infra.stack.answering import answers
from infra.stack.process import Process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """A component that had started when its starter was killed: nobody wrote its pid down."""
    log = tmp_path / "logs" / "broker.log"
    process = Process("broker", ["sleep", "600"], log, tethered=False)
    yield process
    process.stop()


def test_components_of_a_start_that_was_killed_are_found_by_their_log(
    tmp_path: Path, server: Process
) -> None:
    other = Process("worker", ["sleep", "600"], tmp_path / "logs" / "worker.log")
    try:
        assert not (tmp_path / FILE).exists()
        assert {name: found.pid for name, found in running(tmp_path).items()} == {
            "broker": server.pid
        }
        assert known(tmp_path) == ["broker"]
        said = CliRunner().invoke(app, ["stack", "up", "--folder", str(tmp_path)])
        assert "a stack runs already" in str(said.exception)
        assert end(tmp_path) == ["broker"]
        assert not server.running
        assert other.running, "what else writes into the folder is nobody's component"
        assert (known(tmp_path), running(tmp_path)) == ([], {})
    finally:
        other.stop()


def test_a_component_that_is_frozen_is_told_and_ends_in_order(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "s3.log"
    script = "trap 'echo in order; exit' TERM; sleep 600 & echo up; wait"
    server = Process("s3", ["sh", "-c", script], log, tethered=False)
    try:
        server.wait_ready(lambda: "up" in server.tail(), 60)
        psutil.Process(server.pid).suspend()
        said = CliRunner().invoke(app, ["stack", "status", "--folder", str(tmp_path)])
        assert said.exit_code == 1
        told = " ".join(said.stdout.split())
        assert "s3 │ runs and does not answer: stopped by a signal: sh (" in told
        asked = ["stack", "status", "--json", "--folder", str(tmp_path)]
        assert json.loads(CliRunner().invoke(app, asked).stdout) == {"s3": False}
        assert end(tmp_path) == ["s3"]
        assert server.tail().endswith("in order")
    finally:
        server.stop()


def test_a_component_that_says_nothing_at_its_port_is_told(
    tmp_path: Path, server: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "answers", partial(answers, timeout_s=0.2))
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        entry = {"pid": server.pid, "created": psutil.Process(server.pid).create_time()}
        entry |= {"stop_signal": int(signal.SIGTERM), "temporary_folder": None, "port": port}
        (tmp_path / FILE).write_text(json.dumps({"broker": entry}))
        assert silent(tmp_path) == {"broker": f"no word at port {port}"}


def test_a_folder_that_was_removed_under_a_stack_hides_nothing(
    tmp_path: Path, server: Process
) -> None:
    shutil.rmtree(tmp_path / "logs")
    assert end(tmp_path) == ["broker"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_told_to_end_stops_what_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    ended = list[str]()

    def starting(*_: object) -> None:
        try:
            os.kill(os.getpid(), number)
            pytest.fail("the start went on")
        except SystemExit:
            ended.append("in order")  # as `LocalStack.start` stops its components
            raise

    monkeypatch.setattr(LocalStack, "start", starting)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        said = CliRunner().invoke(app, ["stack", "up", "--folder", str(tmp_path)])
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
    assert (said.exit_code, ended) == (128 + number, ["in order"])
