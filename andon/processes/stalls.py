"""Callbacks that hold a process's event loop: measured and logged where the settings ask for it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)
EVENT = "loop.stalled"
"""The log line; ``ms`` is how long the loop stood still, ``cpu_ms`` its own work meanwhile."""


@contextmanager
def watched_loop(stall_ms: float) -> Iterator[None]:
    """Log every callback that runs longer, in milliseconds; with 0 nothing is measured.

    Each callback is timed as a whole, as asyncio's own debug mode does, without its cost. While
    one runs, nothing else of the process does: no heartbeat, no result, no commit.
    """
    if not stall_ms:
        yield
        return
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        run(handle)
        took_ms = (time.perf_counter() - began) * 1000
        if took_ms >= stall_ms:
            own_ms = (time.thread_time() - cpu) * 1000
            log.warning(EVENT, ms=round(took_ms, 2), cpu_ms=round(own_ms, 2), of=named(handle))

    setattr(asyncio.Handle, "_run", timed)  # noqa: B010 - there is no public place to time it
    try:
        yield
    finally:
        setattr(asyncio.Handle, "_run", run)  # noqa: B010


def named(handle: asyncio.Handle) -> str:
    """Whose callback it was: a task by its name and where its coroutines wait now."""
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return str(getattr(callback, "__qualname__", callback))[:200]
    names = [task.get_name()]
    waits: object = task.get_coro()
    for _ in range(12):
        if waits is None:
            break
        names.append(str(getattr(waits, "__qualname__", type(waits).__name__)))
        waits = getattr(waits, "cr_await", None)
    return " > ".join(names)[:500]
