"""The figures of many lines: CPU per part less the idle CPU, and how one line feels another. Pure
but for the clock and the memory that ``CpuSpent`` reads."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Self

import psutil

from lab.benchmarks.lines_pictures import PictureCost
from lab.benchmarks.throughput import medians
from lab.harness.controllers_here import LinePlayed
from lab.percentiles import percentile

MOST_COST = 1.15
"""A part may cost so many times as much at the most lines as at one."""
MOST_RAISED = 1.2
"""A line's burst or stop may raise another's p99 so many times."""


@dataclass
class CpuSpent:
    """CPU seconds by part of the stack, over a time."""

    begun: float
    memory_mib: Mapping[str, float]
    seconds: float = 0.0
    cpu_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, roots: Mapping[str, int]) -> Self:
        """From now on, with the memory of these processes and of their children."""
        memory: dict[str, float] = defaultdict(float)
        for name, pid in roots.items():
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    memory[group_of(name)] += process.memory_info().rss / (1 << 20)
        return cls(time.monotonic(), memory)

    def end(self, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Until now, by two readings of the CPU."""
        self.seconds = time.monotonic() - self.begun
        spent: dict[str, float] = defaultdict(float)
        for name, value in after.items():
            spent[group_of(name)] += value - before.get(name, 0.0)
        self.cpu_s = spent


def group_of(name: str) -> str:
    """The processes that are one part of the stack.

    >>> group_of("inspect-1"), group_of("broker")
    ('inspect', 'broker')
    """
    head, dash, number = name.rpartition("-")
    return head if dash and number.isdigit() else name


@dataclass(frozen=True)
class CountFigures:
    """What was measured with one number of lines."""

    lines: int
    parts: int
    without_result: int
    """Parts that got no result inside their window."""
    cpu_ms: Mapping[str, float]
    """CPU per part less the idle CPU, by part of the stack; the median over the rounds."""
    total_cpu_ms: float
    idle_cpu_percent: Mapping[str, float]
    """Of one core, without parts."""
    total_idle_percent: float
    memory_mib: Mapping[str, float]
    p50_ms: float
    p99_ms: float
    burst: Mapping[str, float]
    """p99 of the other lines without and with a burst of one, milliseconds, and the ratio."""
    stop: Mapping[str, float]
    """The same with the stop of one line's controller."""


@dataclass(frozen=True)
class LinesFigures:
    """The whole run."""

    parts_per_s: float
    counts: tuple[CountFigures, ...]
    cost_ratio: float
    """CPU per part at the most lines over that at the fewest."""
    picture: PictureCost | None = None

    @property
    def holds(self) -> bool:
        """Whether every part got a result, and no bar was missed."""
        raised = [found["ratio"] for one in self.counts for found in (one.burst, one.stop) if found]
        lost = any(one.without_result for one in self.counts)
        return not lost and self.cost_ratio <= MOST_COST and max(raised, default=1) <= MOST_RAISED


@dataclass
class Window:
    """The rounds of one number of lines."""

    lines: int
    parts: int = 0
    without: int = 0
    cpu_ms: list[dict[str, float]] = field(default_factory=list)
    idle: list[dict[str, float]] = field(default_factory=list)
    memory: Mapping[str, float] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)
    burst: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)

    def add(self, idle: CpuSpent, played: Sequence[LinePlayed], busy: CpuSpent) -> None:
        """One round after as long a time without parts."""
        parts = sum(one.parts for one in played)
        rate = {name: spent / idle.seconds for name, spent in idle.cpu_s.items()}
        self.idle.append({name: 100 * share for name, share in rate.items()})
        self.cpu_ms.append(
            {
                name: 1000 * (spent - rate.get(name, 0.0) * busy.seconds) / max(parts, 1)
                for name, spent in busy.cpu_s.items()
            }
        )
        self.memory = busy.memory_mib
        self._count(played)
        self.latencies += _latencies(played)

    def add_burst(
        self, line: str, steady: Iterable[LinePlayed], burst: Iterable[LinePlayed]
    ) -> None:
        """A round without and one with a burst of ``line``: the others' latencies."""
        without, during = list(steady), list(burst)
        self._count([*without, *during])
        self.steady += _latencies(one for one in without if one.line != line)
        self.burst += _latencies(one for one in during if one.line != line)

    def stopped(self, line: str, played: Iterable[LinePlayed]) -> None:
        """A round in which the controller of ``line`` went away."""
        others = [one for one in played if one.line != line]
        self._count(others)
        self.stop += _latencies(others)

    def _count(self, played: Iterable[LinePlayed]) -> None:
        for one in played:
            self.parts += one.parts
            self.without += one.parts - one.decided

    def last(self) -> str:
        """The last round in words."""
        spent, idle = sum(self.cpu_ms[-1].values()), sum(self.idle[-1].values())
        return f"{spent:.1f} ms of CPU a part, idle {idle:.0f} % of a core"

    def others(self) -> str:
        """What one line did to the others, in words."""
        figures = self.figures()
        return (
            f"p99 of the others {figures.burst['steady_ms']:.0f} ms, "
            f"{figures.burst['ms']:.0f} ms in a burst, {figures.stop['ms']:.0f} ms at a stop"
        )

    def figures(self) -> CountFigures:
        """Medians over the rounds, quantiles over all parts."""
        cpu, idle = medians(self.cpu_ms), medians(self.idle)
        return CountFigures(
            lines=self.lines,
            parts=self.parts,
            without_result=self.without,
            cpu_ms=cpu,
            total_cpu_ms=round(median(sum(one.values()) for one in self.cpu_ms), 2),
            idle_cpu_percent=idle,
            total_idle_percent=round(median(sum(one.values()) for one in self.idle), 1),
            memory_mib={name: round(size) for name, size in self.memory.items()},
            p50_ms=_quantile(self.latencies, 0.5),
            p99_ms=_quantile(self.latencies, 0.99),
            burst=_raised(self.steady, self.burst),
            stop=_raised(self.steady, self.stop),
        )


def figures_of(
    rate: float, windows: Sequence[Window], picture: PictureCost | None = None
) -> LinesFigures:
    """The figures by number of lines, and the ratio of the ends."""
    counts = tuple(window.figures() for window in windows)
    first, last = counts[0].total_cpu_ms, counts[-1].total_cpu_ms
    return LinesFigures(round(rate, 2), counts, round(last / max(first, 1e-9), 3), picture)


def _latencies(played: Iterable[LinePlayed]) -> list[float]:
    return [ms for one in played for ms in one.latencies_ms]


def _quantile(values: Sequence[float], share: float) -> float:
    return round(percentile(values, share), 1) if values else 0.0


def _raised(without: Sequence[float], during: Sequence[float]) -> dict[str, float]:
    if not without or not during:
        return {}
    steady, ms = _quantile(without, 0.99), _quantile(during, 0.99)
    return {"steady_ms": steady, "ms": ms, "ratio": round(ms / max(steady, 1e-9), 3)}
