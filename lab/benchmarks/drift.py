"""How soon a change of light or focus is noticed, and how often nothing is taken for one.

Parts are drawn again and again, with replacement, from normals that the expert was not trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TypedDict
from uuid import UUID

import numpy as np

from lab.benchmarks.changes import CHANGES, EXPECTED, Change
from lab.benchmarks.expert import Report
from lab.datasets.folders import Dataset, Sample
from serving.experts.expert import Expert
from serving.experts.images import read_image
from serving.experts.look import measure_look
from streams.roles.drift.watching import DriftAlarm, StationWatch, WatchedPart, watch

_BATCH = 16
SHOWN = 600
"""Parts shown after a change at most."""
_START = datetime(2026, 1, 1, tzinfo=UTC)
Draw = Callable[[np.random.Generator], dict[str, float]]


class ChangeFound(TypedDict):
    """How one change was noticed over all runs."""

    found: int
    runs: int
    median_parts: float
    """Parts from the change to the first alarm; those never noticed count as all parts shown."""
    most_parts: int
    moved_right: int
    """Runs whose first alarm names what moved, and nothing else."""
    began_within: float
    """Median distance, parts, between the beginning that the alarm names and the true one."""
    quantities: dict[str, int]
    """How often each quantity alarmed first."""


class DriftFigures(TypedDict):
    """What the benchmark prints."""

    dataset: str
    parts: int
    """Parts that are drawn from."""
    alpha: float
    quiet_runs: int
    quiet_parts: int
    false_alarms: int
    """Alarms in all runs without a change."""
    before: int
    """Parts without a change before each change."""
    changes: dict[str, ChangeFound]


@dataclass(frozen=True)
class DriftOptions:
    """How much is played."""

    alpha: float
    runs: int
    parts: int
    """Parts in each run without a change."""
    before: int
    seed: int = 0


def unseen_normals(data: Dataset) -> list[Sample]:
    """Normals that the expert was not trained on."""
    return [s for s in (*data.test, *data.left_out) if not s.anomalous]


def measure_drift(
    expert: Expert, data: Dataset, options: DriftOptions, report: Report
) -> DriftFigures:
    """Runs without a change, then runs with each of ``CHANGES``."""
    samples = unseen_normals(data)
    parts = [s.part for s in samples]
    same = _values(expert, samples, lambda image: image)
    report("score", 1, len(CHANGES) + 1)
    quiet = 0
    for run in range(options.runs):
        rng = np.random.default_rng([options.seed, run])
        quiet += len(_play(_drawn(same, parts), options.parts, rng, options.alpha)[1])
        report("no change", run + 1, options.runs)
    found = {}
    for number, (name, change) in enumerate(CHANGES.items()):
        changed = _values(expert, samples, change)
        report("score", number + 2, len(CHANGES) + 1)
        found[name] = _found(
            _drawn(same, parts), _drawn(changed, parts), EXPECTED[name], options, number
        )
    return DriftFigures(
        dataset=data.name,
        parts=len(set(parts)),
        alpha=options.alpha,
        quiet_runs=options.runs,
        quiet_parts=options.parts,
        false_alarms=quiet,
        before=options.before,
        changes=found,
    )


def _values(expert: Expert, samples: Sequence[Sample], change: Change) -> list[dict[str, float]]:
    """What an inspection of each picture would add to the watch."""
    found = []
    for start in range(0, len(samples), _BATCH):
        images = [
            change(read_image(s.path, expert.bit_depth)) for s in samples[start : start + _BATCH]
        ]
        for image, scored in zip(images, expert.score(images, maps=False), strict=True):
            look = measure_look(image)
            found.append(
                {
                    "normality": scored.p_value,
                    "sent": float(scored.anomalous),
                    "brightness": look.brightness,
                    "contrast": look.contrast,
                    "sharpness": look.sharpness,
                }
            )
    return found


def _drawn(values: Sequence[dict[str, float]], parts: Sequence[str]) -> Draw:
    """Draws a part, then one of its photographs."""
    by_part: dict[str, list[dict[str, float]]] = {}
    for value, part in zip(values, parts, strict=True):
        by_part.setdefault(part, []).append(value)
    rows = list(by_part.values())

    def draw(rng: np.random.Generator) -> dict[str, float]:
        row = rows[int(rng.integers(len(rows)))]
        return row[int(rng.integers(len(row)))]

    return draw


def _play(
    draw: Draw,
    count: int,
    rng: np.random.Generator,
    alpha: float,
    state: StationWatch | None = None,
    first: int = 0,
    until_alarm: bool = False,
) -> tuple[StationWatch, list[tuple[int, DriftAlarm]]]:
    """``count`` parts, one a second; alarms with the number of their part, from ``first``."""
    state, alarms = state or StationWatch(), []
    for number in range(first, first + count):
        identity = UUID(bytes=rng.bytes(16), version=4)
        seen = WatchedPart(identity, _START + timedelta(seconds=number), "", draw(rng))
        state, raised = watch(state, seen, alpha)
        alarms += [(number, alarm) for alarm in raised]
        if raised and until_alarm:
            break
    return state, alarms


def _found(
    same: Draw, changed: Draw, expected: str, options: DriftOptions, number: int
) -> ChangeFound:
    delays, right, distances = [], 0, []
    quantities: dict[str, int] = {}
    for run in range(options.runs):
        rng = np.random.default_rng([options.seed, 1000 + number, run])
        state, _ = _play(same, options.before, rng, options.alpha)
        _, alarms = _play(
            changed, SHOWN, rng, options.alpha, state, options.before, until_alarm=True
        )
        if not alarms:
            delays.append(SHOWN)
            continue
        at, alarm = alarms[0]
        delays.append(at - options.before + 1)
        right += alarm.moved == (expected,)
        began = (alarm.began_at - _START).total_seconds()
        distances.append(abs(began - options.before))
        name = alarm.quantity.name
        quantities[name] = quantities.get(name, 0) + 1
    return ChangeFound(
        found=len(distances),
        runs=options.runs,
        median_parts=median(delays),
        most_parts=max(delays),
        moved_right=right,
        began_within=median(distances) if distances else float("nan"),
        quantities=quantities,
    )
