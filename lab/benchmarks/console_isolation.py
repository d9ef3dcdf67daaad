"""The line while its console and its database are killed: what was lost, and the results' times."""

import asyncio
import os
import time
from dataclasses import dataclass
from statistics import median
from typing import Final

from lab.benchmarks.faults import kill
from lab.benchmarks.line import bench
from lab.benchmarks.throughput import SHIPPED, play_round
from lab.harness.console_here import ConsoleProcess
from lab.harness.line import LineOptions, SimulatedLine, TriggerCount
from lab.harness.plan import LinePlan, cycle
from lab.harness.settle import settle
from lab.percentiles import percentile
from lab.plc.ledger import read_ledger
from lab.progress import Say
from streams.principals import Role

WINDOW_S: Final = 3.0
WARM_UP: Final = 60


@dataclass(frozen=True)
class IsolationOptions:
    """How often and how long."""

    rounds: int = 3
    parts: int = 600
    """Of one round."""
    takt_s: float = 0.2


@dataclass
class PlayedParts:
    """What a round was like for the controller."""

    p50_ms: float
    p99_ms: float
    lost: int


def benchmark_isolation(options: IsolationOptions, say: Say) -> dict[str, object]:
    """Undisturbed and disturbed rounds by turns; in a disturbed one both are killed twice."""
    paced = LineOptions(options.takt_s, WINDOW_S)
    rounds: dict[bool, list[PlayedParts]] = {False: [], True: []}
    load = round(os.getloadavg()[0], 1)
    with bench(400, paced, say) as running:
        running.serve(SHIPPED)
        line = running.line
        console = ConsoleProcess(line.folder, line.environment_of(Role.CONSOLE))
        console.start()
        try:
            play_round(line, paced, cycle(running.plan, WARM_UP))
            plan = cycle(running.plan, options.parts)
            for number in range(2 * options.rounds):
                is_disturbed = number % 2 == 1
                rounds[is_disturbed].append(_play(line, plan, console if is_disturbed else None))
                found = rounds[is_disturbed][-1]
                word = "disturbed" if is_disturbed else "undisturbed"
                say(f"{word}: p99 {found.p99_ms:.0f} ms, {found.lost} lost")
        finally:
            console.stop()
    quiet, killed = ([r.p99_ms for r in rounds[which]] for which in (False, True))
    return {
        "parts_of_a_round": options.parts,
        "load_of_the_host_before": load,
        "lost": sum(r.lost for both in rounds.values() for r in both),
        "undisturbed_p99_ms": [round(ms) for ms in quiet],
        "disturbed_p99_ms": [round(ms) for ms in killed],
        "undisturbed_p50_ms": [round(r.p50_ms) for r in rounds[False]],
        "disturbed_p50_ms": [round(r.p50_ms) for r in rounds[True]],
        "p99_ratio": round(median(killed) / median(quiet), 3),
    }


def _play(line: SimulatedLine, plan: LinePlan, console: ConsoleProcess | None) -> PlayedParts:
    """One round; the console, where it is given, and PostgreSQL are killed while it is played."""
    line.plan = plan
    line.ledger.unlink(missing_ok=True)
    line.write_plan()
    line.start_plc()
    if console is not None:
        count = TriggerCount(line.ledger)
        for share in (0.2, 0.5):
            while line.plc_runs and count.count() < share * len(plan.parts):
                time.sleep(0.02)
            console.kill()
            kill(line, "postgres")
            console.start()
    line.wait_plc()
    entries = read_ledger(line.ledger)
    _, balance = asyncio.run(settle(line.stack.settings(), entries, len(plan.parts), True))
    took = [result.ms or 0.0 for entry in entries for result in entry.applied]
    return PlayedParts(percentile(took, 0.5), percentile(took, 0.99), len(balance.lost))
