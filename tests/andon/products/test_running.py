"""One step at a time on a host, in a process of its own, seen by all and ended from anywhere."""

import asyncio
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from andon.products.running import Workshop
from console.product_drafts import DraftError, DraftStep
from tests.waiting import until

ELSEWHERE = """
import sys
from pathlib import Path
from andon.products.running import Workshop
from console.product_drafts import DraftStep
with Workshop(Path(sys.argv[1])).doing("tile", DraftStep(sys.argv[2])) as told:
    told("fit", 1, 3)
    print("runs", flush=True)
    sys.stdin.readline()
"""


LINGERS = """
import sys
from pathlib import Path
from andon.products.running import Workshop
from console.product_drafts import DraftStep
with Workshop(Path(sys.argv[1])).doing("tile", DraftStep.TRAIN) as told:
    told("fit", 1, 3)
print("over", flush=True)
Path(sys.argv[2]).open().read()
"""
"""A step that is done, in a process that has not ended yet, as ``start`` begins it."""


@pytest.fixture
def drafts(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    made.begin("tile", "ada")
    made.begin("AB/12 ö", "ada")
    return made


def started(root: Path, step: DraftStep) -> "subprocess.Popen[bytes]":
    """A process that does a step until it is told to stop."""
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(root), step.value],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"runs\n"
    return process


def ended(process: "subprocess.Popen[bytes]") -> int:
    with process:
        process.communicate(b"\n", timeout=30)
    return process.returncode


def test_every_key_names_its_draft_and_no_other_folder(drafts: Workshop) -> None:
    assert {draft.product for draft in drafts.list()} == {"tile", "AB/12 ö"}
    for draft in drafts.list():
        assert drafts.read(draft.key) == draft
    for key in ("..", "../tile", "x/../tile--0123456789abcdef", "nothing", ""):
        with pytest.raises(DraftError):
            drafts.read(key)


def test_a_step_is_seen_from_elsewhere_and_keeps_others_out(
    drafts: Workshop, tmp_path: Path
) -> None:
    process = started(tmp_path, DraftStep.TRAIN)
    seen = drafts.work("tile")
    assert seen is not None
    assert (seen.running, seen.stage, seen.done, seen.total) == (True, "fit", 1, 3)
    assert drafts.busy() == "tile"
    other = next(draft.key for draft in drafts.list() if draft.key != "tile")
    with pytest.raises(DraftError, match="'tile' runs"), drafts.doing(other, DraftStep.TRAIN):
        pass
    with pytest.raises(DraftError, match="'tile' runs"):
        drafts.start(other, DraftStep.TRAIN, "ada", "")
    with pytest.raises(DraftError, match="end it first"):
        drafts.discard("tile")
    assert not drafts.cancel(other)
    assert ended(process) == 0
    seen = drafts.work("tile")
    assert seen is not None
    assert (seen.running, seen.error, drafts.busy()) == (False, "", "")


def test_a_step_is_ended_and_says_so(drafts: Workshop, tmp_path: Path) -> None:
    process = started(tmp_path, DraftStep.TEACH)
    assert drafts.cancel("tile")
    assert ended(process) < 0
    seen = drafts.work("tile")
    assert seen is not None
    assert seen.error == "the step was ended before its time"
    assert drafts.busy() == ""
    assert not drafts.cancel("tile")


def test_what_goes_on_the_line_is_not_ended_half_way(drafts: Workshop, tmp_path: Path) -> None:
    process = started(tmp_path, DraftStep.LIVE)
    with pytest.raises(DraftError, match="wait"):
        drafts.cancel("tile")
    assert ended(process) == 0


def test_why_a_step_failed_is_kept(drafts: Workshop) -> None:
    with pytest.raises(ValueError, match="odd"), drafts.doing("tile", DraftStep.TRAIN):
        raise ValueError("odd")
    seen = drafts.work("tile")
    assert seen is not None
    assert seen.error == "odd"
    assert not seen.running


def test_a_step_that_cannot_begin_says_why(
    drafts: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_PATHS__STATE", str(tmp_path.parent / "nowhere"))
    drafts.start("tile", DraftStep.TRAIN, "ada", "")
    seen, other = drafts.work("tile"), drafts.list()[0].key
    assert seen is not None
    assert (seen.running, drafts.busy()) == (True, "tile"), "before it has said anything"
    with pytest.raises(DraftError, match="'tile' runs"):
        drafts.start(other, DraftStep.TRAIN, "ada", "")

    def is_over() -> bool:
        nonlocal seen
        seen = drafts.work("tile")
        return not drafts._started

    asyncio.run(until(is_over, 60))
    assert seen is not None
    assert not seen.running
    assert seen.error
    assert "there is no draft" in (tmp_path / "tile" / "work.log").read_text()
    assert os.path.exists(tmp_path / "tile" / "draft.json")


def test_who_looks_who_is_at_work_keeps_nobody_from_it(drafts: Workshop, tmp_path: Path) -> None:
    place = tmp_path / ".running"
    place.touch()
    with place.open() as looked:
        fcntl.flock(looked, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.05, fcntl.flock, (looked, fcntl.LOCK_UN))
        letting_go.start()
        with drafts.doing("tile", DraftStep.TRAIN):
            assert drafts.busy() == "tile"
        letting_go.join()


def test_the_next_step_begins_before_the_last_one_s_process_is_gone(
    drafts: Workshop, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with (tmp_path / ".running").open("a+") as place:
        fcntl.flock(place, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-c", LINGERS, str(tmp_path), str(gate)],
            stdin=place,
            stdout=subprocess.PIPE,
        )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"over\n"
        seen = drafts.work("tile")
        assert seen is not None
        assert (seen.running, seen.error, drafts.busy()) == (False, "", "")
        with drafts.doing("tile", DraftStep.TRAIN):
            running = drafts.work("tile")
            assert running is not None
            assert running.running
        gate.write_text("")
    assert process.returncode == 0
