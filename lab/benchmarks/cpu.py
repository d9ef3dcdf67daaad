"""CPU time by component: what a frame costs beside the expert."""

import contextlib
from collections.abc import Mapping

import psutil


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """User plus system seconds of each component so far, its children included.

    Ray's workers are named by their title (``ray::ServeReplica:...``); a component whose process
    is gone counts 0.
    """
    spent: dict[str, float] = dict.fromkeys(roots, 0.0)
    for name, pid in roots.items():
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    part = replica_of(process) or name
                    spent[part] = spent.get(part, 0.0) + times.user + times.system
    return spent


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


def per_frame_ms(
    before: Mapping[str, float], after: Mapping[str, float], frames: int
) -> dict[str, float]:
    """Milliseconds of CPU per frame by component between two readings."""
    return {
        name: round(1000 * (after[name] - before.get(name, 0.0)) / max(1, frames), 2)
        for name in after
    }
