"""What a soak and a run for stalls make of what they saw."""

import json
import os
from pathlib import Path

import pytest

from lab.benchmarks.soak import MOST_MIB_PER_H, MemoryLog, figures, remove_older
from lab.benchmarks.stalls import stalls_in


def test_the_slope_is_that_of_the_last_three_quarters_and_bears_outliers() -> None:
    hours = [n / 60 for n in range(120)]
    growing = [100.0 if h < 0.4 else 500 + 4 * h for h in hours]
    growing[70] = 5000.0
    log = MemoryLog([3600 * h for h in hours], growing)
    assert log.slope() == pytest.approx(4.0, abs=0.2)
    assert MemoryLog([0.0], [1.0]).slope() == 0.0


def test_a_process_over_the_bound_is_named() -> None:
    steep = MemoryLog([0.0, 3600.0], [0.0, MOST_MIB_PER_H + 1])
    flat = MemoryLog([0.0, 3600.0], [9.0, 9.0])
    body = figures(10, 1.0, {"gateway": steep, "record": flat, "never": MemoryLog()})
    assert body["over"] == []  # two points: the first lies before the last three quarters
    steady = MemoryLog([3600.0 * n / 9 for n in range(10)], [20.0 * n for n in range(10)])
    body = figures(10, 1.0, {"gateway": steady, "record": flat})
    assert (body["over"], body["is_within"]) == (["gateway"], False)
    assert not figures(10, 1.0, {})["is_within"], "nothing measured proves nothing"


def test_retention_removes_old_files_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, age in (("a/old", 1000), ("a/new", 0)):
        path = tmp_path / name
        path.write_text("x")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert remove_older(tmp_path, 120) == 1
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["new"]


def test_stalls_are_counted_by_process_from_a_moment_on(tmp_path: Path) -> None:
    def line(at: str, ms: float, cpu_ms: float, event: str = "loop.stalled") -> str:
        said = {"event": event, "timestamp": at, "ms": ms, "cpu_ms": cpu_ms, "of": "task"}
        return json.dumps(said)

    log = tmp_path / "gateway.log"
    log.write_text(
        "\n".join(
            [
                "not json, loop.stalled",
                line("2026-01-01T00:00:00Z", 900, 900),
                line("2026-01-01T00:01:00Z", 60, 8),
                line("2026-01-01T00:01:01Z", 70, 65),
                line("2026-01-01T00:01:02Z", 6, 6),
                line("2026-01-01T00:01:02Z", 999, 999, "other"),
            ]
        )
    )
    found = stalls_in([log], 1767225630.0)["gateway"]
    assert (found.over_5_ms, found.over_50_ms, found.over_50_ms_own) == (3, 2, 1)
    assert found.figures()["where"] == {"task": 70.0}
