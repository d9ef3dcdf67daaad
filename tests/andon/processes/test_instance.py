"""Workers of one role on one host have names of their own."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from andon.processes.instance import (
    InstanceTakenError,
    StateFolderError,
    claimed_instance,
    workers_here,
)


def test_workers_side_by_side_are_told_apart_and_a_free_name_is_taken_again(tmp_path: Path) -> None:
    with ExitStack() as held:
        first = held.enter_context(claimed_instance("inspect", "", tmp_path))
        second = held.enter_context(claimed_instance("inspect", "", tmp_path))
        other_role = held.enter_context(claimed_instance("classify", "", tmp_path))
        other_folder = held.enter_context(claimed_instance("inspect", "", tmp_path / "other"))
        assert first.name.endswith("-0")
        assert second.name.endswith("-1")
        assert other_role.name == first.name
        assert other_folder.name not in (first.name, second.name)
        second.joined()
        here = workers_here(tmp_path)
        assert (here["inspect"].at_work, here["inspect"].joining) == (1, 1)
        assert (here["classify"].at_work, here["classify"].joining) == (0, 1)
    assert not workers_here(tmp_path)
    with claimed_instance("inspect", "", tmp_path) as again:
        assert again.name == first.name


def test_workers_of_hosts_that_were_cloned_have_names_of_their_own(tmp_path: Path) -> None:
    """The same host name, and the same path of the state: two hosts of one template."""
    state, elsewhere = tmp_path / "state", tmp_path / "another host"
    with claimed_instance("inspect", "", state) as first:
        pass
    state.rename(elsewhere)
    with claimed_instance("inspect", "", state) as second:
        assert second.name != first.name
    with claimed_instance("inspect", "", elsewhere) as again:
        assert again.name == first.name


def test_a_worker_that_was_killed_leaves_its_name(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from andon.processes.instance import claimed_instance\n"
        "with claimed_instance('inspect', '', pathlib.Path(sys.argv[1])) as name:\n"
        "    print(name.name, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    with claimed_instance("inspect", "", tmp_path) as name:
        assert name.name == done.stdout.strip()


@pytest.mark.parametrize("name", ["press-3", "0"])
def test_a_name_that_is_taken_is_refused_by_its_setting(tmp_path: Path, name: str) -> None:
    with (
        claimed_instance("inspect", name, tmp_path) as own,
        pytest.raises(InstanceTakenError, match=r"ANDON_WORKER__INSTANCE: .* \(process \d+\)"),
        claimed_instance("inspect", name, tmp_path),
    ):
        raise AssertionError("two workers of one name")
    assert own.name == name
    with claimed_instance("inspect", name, tmp_path), claimed_instance("record", name, tmp_path):
        pass


def test_a_state_folder_that_cannot_be_written_is_told_by_its_setting(tmp_path: Path) -> None:
    occupied = tmp_path / "state"
    occupied.write_text("a file")
    refused = rf"STATE: {re.escape(str(occupied))} cannot be written as user \d+: Not a directory"
    with pytest.raises(StateFolderError, match=refused), claimed_instance("limits", "", occupied):
        pass
