"""A plan that is played while one process after another is killed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from infra.stack.process import ProcessError
from lab.benchmarks.faults import kill
from lab.harness.line import SimulatedLine, TriggerCount


@dataclass
class Fault:
    """One kill: when, and how long until its victim worked again."""

    name: str
    at_part: int
    back_s: float | None = None
    """Seconds from the kill to being at work; None when that cannot be asked."""
    error: str = ""


def play_with_faults(
    line: SimulatedLine, names: Sequence[str], say: Callable[[str], object]
) -> list[Fault]:
    """Play the line's plan and kill meanwhile, evenly over the run; returns once the PLC is done.

    All in the calling thread: a tethered child ends with the thread that started it.

    Raises:
        ProcessError: the PLC did not finish.
    """
    line.start_plc()
    triggers = TriggerCount(line.ledger)
    step = len(line.plan.parts) / (len(names) + 1)
    faults = [Fault(name, round(step * i)) for i, name in enumerate(names, 1)]
    for fault in faults:
        while line.plc_runs and triggers.count() < fault.at_part:
            time.sleep(0.02)
        if not line.plc_runs:
            fault.error = "the line was over before"
            continue
        try:
            fault.back_s = kill(line, fault.name)
        except (ProcessError, psutil.Error) as error:
            fault.error = str(error)
        back = "" if fault.back_s is None else f", back at work after {fault.back_s:.1f} s"
        say(f"part {fault.at_part}: kill -9 {fault.name}{back}{fault.error}")
    line.wait_plc()
    return faults
