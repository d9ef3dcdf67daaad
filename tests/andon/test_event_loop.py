"""The event loop is adopted by every loop of a process, and named when it is none."""

import os
import subprocess
import sys

import pytest

from andon.event_loop import EventLoopError, adopt_event_loop

SHOW = (
    "import asyncio, sys; from andon.event_loop import adopt_event_loop;"
    "print(adopt_event_loop());"
    "print(type(asyncio.new_event_loop()).__module__);"
    "asyncio.run(asyncio.sleep(0))"
)
WITHOUT = "import sys; sys.modules['uvloop'] = None;"


def adopted(value: str, before: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", before + SHOW],
        env={**os.environ, "ANDON_EVENT_LOOP": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_every_loop_of_the_process_is_of_the_kind() -> None:
    assert adopted("") == ["uvloop", "uvloop"]


def test_asyncios_own_is_a_choice_and_what_is_left_where_there_is_no_other() -> None:
    for name, module in (adopted("asyncio"), adopted("", WITHOUT)):
        assert name == "asyncio"
        assert module.startswith("asyncio")


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_EVENT_LOOP", "trio")
    with pytest.raises(EventLoopError, match="ANDON_EVENT_LOOP='trio': use one of uvloop, asyncio"):
        adopt_event_loop()


def test_every_command_adopts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "andon", "stack", "status"],
        env={**os.environ, "ANDON_EVENT_LOOP": "trio"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ANDON_EVENT_LOOP='trio'" in done.stderr
