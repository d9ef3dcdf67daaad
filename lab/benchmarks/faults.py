"""Faults while the line runs: its processes are killed, or stopped for a while."""

import contextlib
import time

import psutil

from andon.stack.local import LocalStack
from infra.stack.process import ProcessError
from lab.benchmarks.cpu import replicas
from lab.harness.line import SimulatedLine

ROLE_FAULTS = ("inspect", "classify", "record", "gateway")
REPLICA = "replica"
STORES = ("postgres", "s3")
FAULTS = (*ROLE_FAULTS[:3], REPLICA, "gateway", *STORES)
BROKER = "broker"
"""It is not among ``FAULTS``, since only Apache Kafka keeps its data over a kill."""
STORE_DOWN_S = 3.0
"""How long a killed store or broker stays away before its supervisor starts it, seconds."""


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
