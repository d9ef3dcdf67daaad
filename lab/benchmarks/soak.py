"""A soak: large frames for hours, and the slope of each own process's memory by Theil and Sen."""

import contextlib
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from scipy.stats import theilslopes

from lab.benchmarks.line import bench
from lab.harness.line import LineOptions, SimulatedLine
from lab.harness.plan import LinePlan, cycle
from lab.progress import Say
from streams.topics import INLINE_LIMIT_BYTES

MOST_MIB_PER_H = 8.0
"""A process may grow by so much, MiB an hour."""
LAST = 0.75
"""The slope is that of the last three quarters: 90 minutes of two hours."""
SAMPLE_S = 10.0
KEEP_S = 120.0
"""Objects of the store are removed after this long, as a plant's retention does, seconds."""
_SIDE = 1680
"""Pixels: noise of this size is just over 8 MiB as a PNG."""
_PICTURES = 3
MIB = 1 << 20


@dataclass
class MemoryLog:
    """Resident memory of one process over time."""

    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def slope(self, last: float = LAST) -> float:
        """MiB an hour over the last share of the time, by the median of all pairs' slopes.

        >>> MemoryLog([0.0, 1800.0, 3600.0], [10.0, 11.0, 12.0]).slope(last=1.0)
        2.0
        """
        begin = self.seconds[-1] - last * (self.seconds[-1] - self.seconds[0])
        kept = [(s, m) for s, m in zip(self.seconds, self.mib, strict=True) if s >= begin]
        if len(kept) < 2:
            return 0.0
        seconds, mib = zip(*kept, strict=True)
        return round(float(theilslopes(mib, seconds).slope) * 3600, 3)


class Sampler(threading.Thread):
    """Notes the memory of the line's own processes, and removes what retention removes."""

    def __init__(self, line: SimulatedLine, sample_s: float) -> None:
        super().__init__(daemon=True)
        self.logs: dict[str, MemoryLog] = {name: MemoryLog() for name in line.roles}
        self._line = line
        self._sample_s = sample_s
        self._ended = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(self._sample_s):
            for name, role in self._line.roles.items():
                with contextlib.suppress(psutil.Error):
                    memory = psutil.Process(role.process.pid).memory_info().rss
                    self.logs[name].seconds.append(time.monotonic() - began)
                    self.logs[name].mib.append(memory / MIB)
            remove_older(self._line.stack.folder / "s3", KEEP_S)

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()


def remove_older(folder: Path, seconds: float) -> int:
    """Remove files below the folder that are older; how many. The folders stay."""
    removed, before = 0, time.time() - seconds
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed


def large_pictures(folder: Path, plan: LinePlan) -> LinePlan:
    """The plan with pictures just over what travels inside a message: they go by reference."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    samples = []
    for number in range(_PICTURES):
        path = folder / f"large-{number}.png"
        noise = rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, compress_level=0)
        if path.stat().st_size <= INLINE_LIMIT_BYTES:
            raise ValueError(f"{path} has {path.stat().st_size} bytes: it would travel inline")
        samples.append(replace(plan.parts[0].photograph, path=path))
    return plan.playing(samples)


def benchmark_soak(
    hours: float, takt_s: float, say: Say, sample_s: float = SAMPLE_S
) -> dict[str, object]:
    """Play so long, one large frame a takt; slopes in MiB an hour by process."""
    options = LineOptions(takt_s=takt_s, window_s=max(5.0, 2 * takt_s))
    with bench(400, options, say) as running:
        line = running.line
        plan = large_pictures(line.folder / "large", running.plan)
        parts = max(20, round(hours * 3600 / takt_s))
        line.plan = cycle(plan, parts)
        line.write_plan()
        sampler = Sampler(line, sample_s)
        say(f"{parts} frames of over {INLINE_LIMIT_BYTES // MIB} MiB, one each {takt_s:g} s")
        line.start_plc()
        sampler.start()
        try:
            line.wait_plc(_Progress(parts, say))
        finally:
            sampler.end()
    return figures(parts, hours, sampler.logs)


def figures(parts: int, hours: float, logs: dict[str, MemoryLog]) -> dict[str, object]:
    """Slopes and ends of each process, and whether each is under the bound."""
    slopes = {name: log.slope() for name, log in logs.items() if log.seconds}
    over = [name for name, slope in slopes.items() if slope > MOST_MIB_PER_H]
    return {
        "hours": hours,
        "frames": parts,
        "mib_per_h": slopes,
        "mib_at_end": {name: round(log.mib[-1], 1) for name, log in logs.items() if log.mib},
        "most_mib_per_h": MOST_MIB_PER_H,
        "over": over,
        "is_within": bool(slopes) and not over,
    }


class _Progress:
    """Says every tenth of the parts."""

    def __init__(self, parts: int, say: Say) -> None:
        self._step = max(1, parts // 10)
        self._parts, self._say, self._next = parts, say, self._step

    def __call__(self, done: int) -> None:
        if done >= self._next:
            self._next += self._step
            self._say(f"{done} of {self._parts}")
