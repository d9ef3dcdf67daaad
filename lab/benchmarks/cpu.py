"""CPU time by component: what a frame costs beside the expert."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

_READ_EVERY_S = 1.0


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """User plus system seconds of each component so far, its children included.

    Ray's workers are named by their title (``ray::ServeReplica:...``); a component whose process
    is gone counts 0.
    """
    spent: dict[str, float] = dict.fromkeys(roots, 0.0)
    for (name, _), seconds in _by_process(roots).items():
        spent[name] = spent.get(name, 0.0) + seconds
    return spent


def _by_process(roots: Mapping[str, int]) -> dict[tuple[str, int], float]:
    """(component, process id) -> user plus system seconds. The processes of the machine are gone
    through once, for whoever is measured would feel more."""
    parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
    names = {pid: name for name, pid in roots.items()}
    spent = {}
    for pid in parents:
        name = _component(pid, parents, names)
        if name is not None:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                times = process.cpu_times()
                spent[replica_of(process) or name, pid] = times.user + times.system
    return spent


def _component(pid: int, parents: Mapping[int, int], names: Mapping[int, str]) -> str | None:
    """The component that a process belongs to: its own, or that of the nearest one above it."""
    above: int | None = pid
    while above and above not in names:
        above = parents.get(above)
    return names.get(above or 0)


def replica_of(process: psutil.Process) -> str:
    """``VisionExpert`` for the process of one of its Serve replicas; empty for any other."""
    title = " ".join(process.cmdline()[:1])
    return title.split(":")[-1].split("#")[0] if title.startswith("ray::ServeReplica:") else ""


def replicas(ray_pid: int, deployment: str) -> list[psutil.Process]:
    """The replica processes of a deployment below a Ray head."""
    found = []
    for process in psutil.Process(ray_pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if replica_of(process) == deployment:
                found.append(process)
    return found


@dataclass(frozen=True)
class Reading:
    """What each process had spent at one moment."""

    at: float
    """Seconds since the epoch."""
    spent: Mapping[tuple[str, int], float]
    """(component, process id) -> CPU seconds."""

    def since(self, before: "Reading") -> dict[str, float]:
        """CPU seconds of each component since then; a process that ended in between is left out.

        >>> before = Reading(0.0, {("ray", 1): 9.0, ("ray", 2): 1.0})
        >>> Reading(1.0, {("ray", 2): 1.5, ("ray", 3): 0.25}).since(before)
        {'ray': 0.75}
        """
        found: dict[str, float] = {}
        for key, seconds in self.spent.items():
            found[key[0]] = found.get(key[0], 0.0) + seconds - before.spent.get(key, 0.0)
        return found


@contextlib.contextmanager
def readings(roots: Mapping[str, int]) -> Iterator[list[Reading]]:
    """Reads the components' CPU beside the block, all along; the list is whole at its end."""
    taken: list[Reading] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            taken.append(Reading(time.time(), _by_process(roots)))
            over.wait(_READ_EVERY_S)

    reader = threading.Thread(target=read, name="cpu readings")
    reader.start()
    try:
        yield taken
    finally:
        over.set()
        reader.join()
        taken.append(Reading(time.time(), _by_process(roots)))


def within(taken: Sequence[Reading], begin: float, end: float) -> tuple[Reading, Reading]:
    """The first reading and the last one of a time; of all, where it holds fewer than two.

    >>> taken = [Reading(at, {}) for at in (0.0, 1.0, 2.0, 3.0)]
    >>> [reading.at for reading in within(taken, 0.5, 2.5)]
    [1.0, 2.0]
    >>> [reading.at for reading in within(taken, 0.5, 1.5)]
    [0.0, 3.0]
    """
    inside = [reading for reading in taken if begin <= reading.at <= end]
    first, *_, last = inside if len(inside) > 1 else taken
    return first, last
