"""The build of Python that setup takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra import interpreter
from infra.interpreter import builds, choose, seconds, time_in_turn


def test_a_build_that_is_a_fifth_faster_is_taken() -> None:
    assert choose("plain", {"plain": 1.0, "optimised": 0.8}) == "optimised"


def test_a_build_that_is_hardly_faster_is_not() -> None:
    assert choose("plain", {"plain": 1.0, "optimised": 0.9}) == "plain"


def test_a_default_that_cannot_be_used_gives_way() -> None:
    assert choose("broken", {"other": 5.0}) == "other"
    assert choose("broken", {}) == "broken"


def test_a_busy_moment_does_not_decide() -> None:
    slow, quick = [1.4] * 4 + [2.4, 2.4, 0.9], [1.0] * 4 + [1.7, 1.7, 1.7]
    times = {"plain": iter(slow), "fast": iter(quick)}
    found = time_in_turn(["plain", "fast", "absent"], lambda n: next(times.get(n, iter([])), None))
    assert found == {"plain": 1.4, "fast": 1.0}
    assert choose("plain", found) == "fast"


def test_the_callers_own_build_is_the_default_and_each_file_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "python{}.{}".format(*sys.version_info[:2])
    first, last = tmp_path / "first", tmp_path / "last"
    for folder in (first, last):
        folder.mkdir()
        (folder / name).touch()
    (last / "python3").symlink_to(last / name)
    monkeypatch.setattr(interpreter, "FOLDERS", (first, last))
    monkeypatch.setattr(sys, "executable", str(last / "python3"))
    monkeypatch.setenv("PATH", str(last))
    assert builds() == [str(last / "python3"), str(first / name)]


def test_this_python_is_timed_and_others_are_refused(tmp_path: Path) -> None:
    time_s = seconds(sys.executable)
    assert time_s is not None
    assert time_s > 0
    assert seconds(sys.executable, (2, 7)) is None
    assert seconds(str(tmp_path / "absent")) is None
    assert seconds("/bin/false") is None


def test_it_runs_as_setup_runs_it() -> None:
    script = interpreter.__file__
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    chosen = Path(done.stdout.strip())
    assert chosen.exists()
    version = subprocess.run([chosen, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.split()[1].rpartition(".")[0] == ".".join(map(str, sys.version_info[:2]))
