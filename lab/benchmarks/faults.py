"""Faults while the line runs: ``kill -9`` of one process after another, then the balance."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from andon.stack.local import LocalStack
from infra.stack.process import ProcessError
from lab.benchmarks.cpu import replicas
from lab.harness.line import SimulatedLine, TriggerCount

WORKER_BACK_S = 12.0
"""A killed worker must be at work again within this, seconds."""
ROLE_FAULTS = ("inspect", "classify", "record", "gateway")
REPLICA = "replica"
STORES = ("postgres", "s3")
FAULTS = (*ROLE_FAULTS[:3], REPLICA, "gateway", *STORES)
BROKER = "broker"
"""It is not among ``FAULTS``, since only Apache Kafka keeps its data over a kill."""
STORE_DOWN_S = 3.0
"""How long a killed store or broker stays away before its supervisor starts it, seconds."""
Say = Callable[[str], None]


@dataclass
class Fault:
    """One kill: when, and how long until its victim worked again."""

    name: str
    at_part: int
    back_s: float | None = None
    """Seconds from the kill to being at work; None when that cannot be asked."""
    error: str = ""


def play_with_faults(line: SimulatedLine, names: Sequence[str], say: Say) -> list[Fault]:
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


def kill(line: SimulatedLine, name: str, down_s: float = STORE_DOWN_S) -> float | None:
    """Kill, start again as a supervisor would, wait; seconds until it works.

    A store or the broker stays away for ``down_s`` before it is started.

    Raises:
        ProcessError: it did not come back.
    """
    begun = time.monotonic()
    if name == REPLICA:
        return _kill_replica(line)
    if name in STORES or name == BROKER:
        return _kill_store(line.stack, name, down_s)
    role = line.roles[name]
    role.process.kill()
    role.start()
    role.wait_ready(60)
    return time.monotonic() - begun


def pause(line: SimulatedLine, name: str, seconds: float) -> None:
    """Stop a process and its children for a while, as a host does that swaps or migrates."""
    if name == REPLICA:
        stopped = replicas(line.stack.components["ray"].process.pid, "VisionExpert")[:1]
    else:
        pids = line.pids()
        if name not in pids:
            raise ProcessError(f"{name} does not run")
        root = psutil.Process(pids[name])
        stopped = [root, *root.children(recursive=True)]
    try:
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        time.sleep(seconds)
    finally:
        for process in reversed(stopped):
            with contextlib.suppress(psutil.Error):
                process.resume()


def _kill_store(stack: LocalStack, name: str, down_s: float) -> float | None:
    if name == BROKER and stack.broker_kind == "embedded":
        raise ProcessError("the embedded broker's data ends with it: kill Apache Kafka instead")
    begun = time.monotonic()
    stack.components[name].kill()
    time.sleep(down_s)
    stack.restart(name)
    return time.monotonic() - begun if name == BROKER else None


def _kill_replica(line: SimulatedLine) -> float | None:
    ray = line.stack.components["ray"].process.pid
    victims = replicas(ray, "VisionExpert")
    if not victims:
        raise ProcessError("no VisionExpert replica was found to kill")
    begun = time.monotonic()
    victims[0].kill()
    while time.monotonic() - begun < 60:
        with contextlib.suppress(psutil.Error):
            if any(r.pid != victims[0].pid for r in replicas(ray, "VisionExpert")):
                return time.monotonic() - begun
        time.sleep(0.1)
    raise ProcessError("Ray did not start another replica within 60 s")
