"""How long the event loops of gateway and workers stand still while the line runs at its rate."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from andon.processes.stalls import EVENT
from lab.benchmarks.line import SATURATED_WINDOW_S, bench
from lab.benchmarks.throughput import play_round
from lab.harness.line import LineOptions
from lab.harness.plan import cycle
from lab.progress import Say

MOST_MS = 50.0
"""No callback may hold a loop for longer, milliseconds."""
LOGGED_MS = 5.0
"""Work over this is logged: it belongs off the loop."""
SETTINGS = {
    "ANDON_STALL_MS": str(LOGGED_MS),
    "ANDON_EVENT_LOOP": "asyncio",  # the only one whose callbacks can be timed
    "ANDON_LOG_JSON": "true",
}


@dataclass
class LoopStalls:
    """What one process's loop did."""

    over_5_ms: int = 0
    over_50_ms: int = 0
    """By wall time: a busy machine adds to it what other processes took."""
    over_50_ms_own: int = 0
    """By the CPU time of the loop's own thread."""
    worst_ms: float = 0.0
    worst_own_ms: float = 0.0
    worst_gc_ms: float = 0.0
    """The longest that the collector of cycles took of one."""
    where: dict[str, float] = field(default_factory=dict)
    """The longest by whose callback it was, milliseconds of wall time."""

    def add(self, line: Mapping[str, object]) -> None:
        """One log line of a stall."""
        ms, own = float(str(line["ms"])), float(str(line["cpu_ms"]))
        self.over_5_ms += 1
        self.over_50_ms += ms > MOST_MS
        self.over_50_ms_own += own > MOST_MS
        self.worst_ms, self.worst_own_ms = max(self.worst_ms, ms), max(self.worst_own_ms, own)
        self.worst_gc_ms = max(self.worst_gc_ms, float(str(line.get("gc_ms", 0.0))))
        of = str(line.get("of", ""))
        self.where[of] = max(self.where.get(of, 0.0), ms)

    def figures(self) -> dict[str, object]:
        """Counts, and the three longest."""
        longest = sorted(self.where.items(), key=lambda item: -item[1])[:3]
        return {
            "over_5_ms": self.over_5_ms,
            "over_50_ms": self.over_50_ms,
            "over_50_ms_own": self.over_50_ms_own,
            "worst_ms": self.worst_ms,
            "worst_own_ms": self.worst_own_ms,
            "worst_gc_ms": self.worst_gc_ms,
            "where": dict(longest),
        }


def stalls_in(logs: Iterable[Path], since_s: float) -> dict[str, LoopStalls]:
    """The stalls in these logs, one for each process, from a moment on."""
    found: dict[str, LoopStalls] = defaultdict(LoopStalls)
    for path in logs:
        process = found[path.stem]
        for text in path.read_text(errors="replace").splitlines():
            if EVENT not in text or not text.startswith("{"):
                continue
            line = json.loads(text)
            if datetime.fromisoformat(str(line["timestamp"])).timestamp() >= since_s:
                process.add(line)
    return dict(found)


def benchmark_stalls(seconds: float, in_flight: int, say: Say) -> dict[str, object]:
    """The line at its rate for a while; the stalls of each of its processes.

    The first parts after the start, which load what is loaded once, are played before.
    """
    paced = LineOptions(0.001, SATURATED_WINDOW_S, True, in_flight)
    with bench(400, paced, say, settings=SETTINGS) as running:
        warm = play_round(running.line, paced, cycle(running.plan, 60))
        parts = max(60, int(warm.frames_per_s * seconds))
        say(f"{parts} parts at about {warm.frames_per_s:.0f} a second")
        since_s = time.time()
        measured = play_round(running.line, paced, cycle(running.plan, parts))
        logs = [running.line.folder / "logs" / f"{name}.log" for name in running.line.roles]
        found = stalls_in(logs, since_s)
    return {
        "parts": parts,
        "frames_per_s": round(measured.frames_per_s, 2),
        "over_50_ms": sum(one.over_50_ms for one in found.values()),
        "over_50_ms_own": sum(one.over_50_ms_own for one in found.values()),
        "processes": {name: one.figures() for name, one in found.items()},
    }
