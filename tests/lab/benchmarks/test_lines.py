"""Many lines: what is counted of a part, and the whole benchmark over a few."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from andon.__main__ import app
from lab.benchmarks.lines_figures import CpuSpent, Window, figures_of, group_of
from lab.benchmarks.lines_pictures import cost_of, enlarged
from lab.harness.controllers_here import LinePlayed


def counted(seconds: float, **cpu_s: float) -> CpuSpent:
    return CpuSpent(0.0, {}, seconds, cpu_s)


def played(line: str, *ms: float, parts: int | None = None) -> LinePlayed:
    return LinePlayed(line, len(ms) if parts is None else parts, len(ms), ms, {}, 1.0)


def a_round(window: Window, busy_s: float) -> None:
    window.add(counted(10, broker=1.0), [played("line1", 20, 30)], counted(20, broker=busy_s))


def test_idle_cpu_is_taken_off_and_shown_apart() -> None:
    window = Window(1)
    a_round(window, 2.5)
    found = window.figures()
    assert found.cpu_ms == {"broker": 250.0}  # 2.5 s, less 2 s that 20 s cost without parts
    assert found.total_cpu_ms == 250.0
    assert found.idle_cpu_percent == {"broker": 10.0}
    assert (found.parts, found.without_result) == (2, 0)


def test_a_part_that_costs_more_among_many_lines_misses_the_bar() -> None:
    one, many = Window(1), Window(64)
    a_round(one, 2.5)
    a_round(many, 2.5)
    assert figures_of(5.0, [one, many]).holds
    dearer = Window(64)
    a_round(dearer, 2.6)
    assert figures_of(5.0, [one, dearer]).cost_ratio == 1.2
    assert not figures_of(5.0, [one, dearer]).holds


def test_the_others_are_held_against_themselves_and_the_bursting_line_is_left_out() -> None:
    window = Window(2)
    a_round(window, 2.5)
    quiet, hurried = played("line2", *[100.0] * 50), played("line2", *[130.0] * 50)
    window.add_burst("line1", [played("line1", 100), quiet], [played("line1", 9000), hurried])
    window.stopped("line1", [played("line1", parts=5), quiet])
    found = window.figures()
    assert found.burst == {"steady_ms": 100.0, "ms": 130.0, "ratio": 1.3}
    assert found.stop["ratio"] == 1.0
    assert found.without_result == 0, "parts of a line that stops are nobody's"
    assert not figures_of(5.0, [window]).holds


def test_a_part_without_a_result_misses_the_bar() -> None:
    window = Window(1)
    window.add(counted(1, broker=0.0), [played("line1", 5, parts=2)], counted(1, broker=0.1))
    assert window.figures().without_result == 1
    assert not figures_of(5.0, [window]).holds


def test_processes_that_do_the_same_are_one_part_of_the_stack() -> None:
    names = ["inspect-0", "inspect-11", "VisionExpert", "gateways-3", "s3"]
    assert [group_of(name) for name in names] == [
        *["inspect", "inspect", "VisionExpert", "gateways", "s3"]
    ]


def test_a_picture_is_as_large_as_asked_for_and_costs_something(tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((50, 40, 3), np.uint8)).save(small)
    (large,) = enlarged([small], 300, tmp_path / "large")
    found = cost_of([large])
    assert found.megapixels == 0.09
    assert found.size_kb == round(large.stat().st_size / 1e3, 1)
    assert found.decode_ms > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_part_of_every_line_gets_its_result() -> None:
    done = CliRunner().invoke(app, ["benchmark", "lines", "--smoke", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout.splitlines()[-1])["counts"]
    assert (found["lines"], found["without_result"]) == (2, 0)
    assert found["parts"] > 0
    assert found["burst"]
    assert found["stop"]
