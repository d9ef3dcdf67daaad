"""The scheduling policy is adopted, inherited and named when it is none."""

import os
import subprocess
import sys

import pytest

from andon.scheduling import SchedulingError, adopt_scheduling

SHOW = (
    "import os, subprocess, sys; from andon.scheduling import adopt_scheduling as adopt;"
    "[adopt(command=name) for name in sys.argv[1:]];"
    "child = 'import os; print(os.sched_getscheduler(0))';"
    "subprocess.run([sys.executable, '-c', child], check=True)"
)


def of_a_child(value: str, *commands: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *(commands or ("worker",))],
        env={**os.environ, "ANDON_SCHEDULING": value},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="scheduling policies are Linux'")
def test_what_a_command_starts_inherits_it() -> None:
    assert of_a_child("") == os.SCHED_BATCH


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="scheduling policies are Linux'")
def test_what_speaks_to_a_controller_is_woken_at_once_unless_told_otherwise() -> None:
    assert of_a_child("", "demo", "gateway") == os.SCHED_OTHER
    assert of_a_child("", "gateway") == os.SCHED_OTHER
    assert of_a_child("batch", "gateway") == os.SCHED_BATCH


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="scheduling policies are Linux'")
def test_normal_changes_nothing() -> None:
    assert of_a_child("normal") == os.sched_getscheduler(0)


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_SCHEDULING", "fifo")
    with pytest.raises(SchedulingError, match="ANDON_SCHEDULING='fifo': use one of batch, normal"):
        adopt_scheduling()


def test_every_command_adopts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "andon", "stack", "status"],
        env={**os.environ, "ANDON_SCHEDULING": "fifo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ANDON_SCHEDULING='fifo'" in done.stderr
