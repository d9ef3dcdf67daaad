"""What the line's benchmark counts, and as what."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.benchmarks import throughput
from lab.benchmarks.throughput import REFERENCE, Round, alone, combine
from lab.harness.plan import LinePlan

ROUNDS = [
    Round(
        frames_per_s=fps,
        cpu_ms={"VisionExpert": 25.0, "gateway": 6.0, "broker": 3.0, "inspect": 2.0}
        | {"classify": 1.0, "ray": 1.5, "AnomalyClassifier": 5.0, "record": 2.0, "plc": 40.0},
        latencies_ms=(1.0,),
        sources={"expert": 100},
    )
    for fps in (20.0, 30.0, 28.0)
]


def test_all_but_the_plants_own_and_the_bare_expert_is_overhead() -> None:
    solo = [{"frames_per_s": 40.0, "cpu_ms": ms} for ms in (22.0, 24.0, 23.0)]
    rests = [{"ray": ms, "broker": 4.0} for ms in (50.0, 60.0, 55.0)]
    found = combine(solo, ROUNDS, rests, REFERENCE)
    assert found["ratio"] == 0.7
    assert found["overhead_cpu_ms"] == 25 + 6 + 3 + 2 + 1 + 1.5 + 5 + 2 - 23
    assert found["flow_cpu_ms"] == 3 + 2 + 1 + 1.5
    assert found["cpu_ms"]["plc"] == 40.0
    assert found["rest_cpu_ms_per_s"] == {"all": 59.0, "broker": 4.0, "ray": 55.0}


def test_the_bare_expert_has_the_environment_of_the_replicas(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: dict[str, str] = {}

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        found.update(options["env"])
        return subprocess.CompletedProcess(command, 0, '{"frames_per_s": 1.0, "cpu_ms": 2.0}', "")

    monkeypatch.setattr(throughput.subprocess, "run", run)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    plan = LinePlan("textile", (), {}, ())
    assert alone(tmp_path, plan, REFERENCE, 1, 8) == {"frames_per_s": 1.0, "cpu_ms": 2.0}
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["MALLOC_ARENA_MAX"] == "1"
    assert "PATH" in found
