"""``andon benchmark line``: the whole line beside the bare expert, alternated in one run."""

import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.stack.process import ProcessError
from lab.benchmarks.cpu import readings, within
from lab.harness.line import SERVE_TEMPLATE, LineOptions, SimulatedLine
from lab.harness.plan import LinePlan
from lab.plc.ledger import LedgerEntry, read_ledger

NOT_THE_LINE = ("plc",)
"""Components that stand for the plant: their CPU is not the line's."""
FLOW = ("broker", "inspect", "classify", "Ingress", "ray")
"""What carries a frame from its topic to a decision, models and the edges (gateway, history) not
among it: the part of the overhead that ``flow_cpu_ms`` states."""


@dataclass(frozen=True)
class ExpertProfile:
    """How the expert runs, alone and in the line alike."""

    runtime: str
    precision: str
    threads: int


REFERENCE = ExpertProfile("torch", "f32", 1)
SHIPPED = ExpertProfile("auto", "auto", 1)


@dataclass(frozen=True)
class Round:
    """One measurement of the line."""

    frames_per_s: float
    cpu_ms: Mapping[str, float]
    """Component -> CPU per frame while parts flow: from the first result to the last trigger."""
    latencies_ms: tuple[float, ...]
    sources: Mapping[str, int]
    entries: tuple[LedgerEntry, ...] = ()
    """The controller's own account of each part."""


def alone(
    artifact: Path, plan: LinePlan, profile: ExpertProfile, seconds: float, batch: int
) -> dict[str, float]:
    """The expert by itself in a fresh process: ``frames_per_s`` and ``cpu_ms``.

    It has the environment of the line's replicas: with malloc's defaults, which map the large
    arrays of each batch anew, it would take a quarter more than the expert that it stands beside.
    """
    pictures = [str(part.photograph.path) for part in plan.parts]
    asked = {"artifact": str(artifact), "pictures": pictures, "seconds": seconds, "batch": batch}
    done = subprocess.run(
        [sys.executable, "-m", "lab.benchmarks.expert_alone"],
        input=json.dumps({**asked, **asdict(profile)}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **replica_environment()},
    )
    if done.returncode:
        raise ProcessError(f"the expert alone failed:\n{done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def replica_environment() -> dict[str, str]:
    """Environment variables that the deployed application sets in its replicas."""
    deployed = yaml.safe_load(SERVE_TEMPLATE.read_text())
    variables: dict[str, str] = deployed["applications"][0]["runtime_env"]["env_vars"]
    return variables


def play_round(line: SimulatedLine, options: LineOptions, plan: LinePlan) -> Round:
    """Play the plan on the running line with a PLC of this round's own."""
    line.plan, line.options = plan, options
    line.ledger.unlink(missing_ok=True)
    line.write_plan()
    with readings(line.pids()) as taken:
        line.play()
    entries = read_ledger(line.ledger)
    times = [e.trigger.at for e in entries]
    ends = [r.at for e in entries for r in e.applied] or times
    before, after = within(taken, min(ends), max(times))
    frames = sum(before.at < at <= after.at for at in ends)
    return Round(
        frames_per_s=len(entries) / max(1e-9, max(ends) - min(times)),
        cpu_ms={name: 1000 * s / max(1, frames) for name, s in after.since(before).items()},
        latencies_ms=tuple(sorted(r.ms or 0.0 for e in entries for r in e.applied)),
        sources=Counter(e.source or "none" for e in entries),
        entries=tuple(entries),
    )


def combine(
    solo: list[dict[str, float]],
    rounds: list[Round],
    rests: list[dict[str, float]],
    profile: ExpertProfile,
) -> dict[str, Any]:
    """Medians of the alternated rounds: ratio and CPU beside the expert.

    ``overhead_cpu_ms`` is all of the line's CPU per frame less the bare expert's: gateway, broker,
    roles, Ray, naming, history, and what the replica needs beyond the bare expert.
    ``flow_cpu_ms`` is the share of :data:`FLOW` in it. ``rest_cpu_ms_per_s`` is what the line takes
    each second without a part.
    """
    expert_fps = statistics.median(s["frames_per_s"] for s in solo)
    expert_cpu = statistics.median(s["cpu_ms"] for s in solo)
    line_fps = statistics.median(r.frames_per_s for r in rounds)
    cpu, rest = medians([r.cpu_ms for r in rounds]), medians(rests)
    whole = sum(ms for name, ms in cpu.items() if name not in NOT_THE_LINE)
    return {
        "runtime": f"{profile.runtime} {profile.precision}, {profile.threads} thread",
        "expert_frames_per_s": round(expert_fps, 2),
        "line_frames_per_s": round(line_fps, 2),
        "ratio": round(line_fps / expert_fps, 3),
        "expert_cpu_ms": round(expert_cpu, 2),
        "overhead_cpu_ms": round(whole - expert_cpu, 2),
        "flow_cpu_ms": round(sum(cpu.get(name, 0.0) for name in FLOW), 2),
        "cpu_ms": cpu,
        "rest_cpu_ms_per_s": {"all": round(sum(rest.values()), 1), **rest},
        "by_source": rounds[-1].sources,
    }


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each component, its median over the rounds."""
    names = sorted({name for one in rounds for name in one})
    return {
        name: round(statistics.median(one.get(name, 0.0) for one in rounds), 2) for name in names
    }
