"""Work that holds the event loop is logged with whose it was, and only where it is asked for."""

import asyncio
import gc
import time

import pytest
import uvloop
from structlog.testing import capture_logs

from andon.processes.heap import loading, settle_heap
from andon.processes.stalls import EVENT, watched_loop


async def hold_the_loop(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def awaited(seconds: float) -> None:
    await asyncio.create_task(hold_the_loop(seconds), name="holder")


def test_a_callback_that_holds_the_loop_is_logged_with_its_task() -> None:
    with capture_logs() as logs, watched_loop(20.0):
        asyncio.run(awaited(0.05))
    (found,) = [line for line in logs if line["event"] == EVENT and "holder" in line["of"]]
    assert found["ms"] >= 50
    assert "hold_the_loop" in found["of"]


@pytest.mark.parametrize("stall_ms", [0.0, 60_000.0])
def test_what_is_not_asked_for_or_short_is_not_logged(stall_ms: float) -> None:
    with capture_logs() as logs, watched_loop(stall_ms):
        asyncio.run(awaited(0.01))
    assert not logs


def test_a_loop_that_cannot_be_watched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "get_event_loop_policy", uvloop.EventLoopPolicy)
    with capture_logs() as logs, watched_loop(1.0):
        pass
    (said,) = logs
    assert said["event"] == "loop.not_watched"
    assert "ANDON_EVENT_LOOP=asyncio" in said["remedy"]


def test_callbacks_are_named_without_a_task_too() -> None:
    def slow() -> None:
        until = time.monotonic() + 0.03
        while time.monotonic() < until:
            pass

    async def scheduled() -> None:
        asyncio.get_running_loop().call_soon(slow)
        await asyncio.sleep(0)

    with capture_logs() as logs, watched_loop(20.0):
        asyncio.run(scheduled())
    assert any("slow" in line["of"] for line in logs)


def test_the_loop_is_as_before_afterwards() -> None:
    before = asyncio.Handle._run
    with watched_loop(1.0):
        assert asyncio.Handle._run is not before
    assert asyncio.Handle._run is before


def test_what_is_there_at_the_start_is_looked_at_no_more() -> None:

    frozen = gc.get_freeze_count()
    try:
        settle_heap()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()


def test_what_is_imported_is_not_looked_at_either() -> None:
    frozen = gc.get_freeze_count()
    try:
        with loading():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
