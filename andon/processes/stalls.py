"""Callbacks that hold a process's event loop: measured and logged where the settings ask for it."""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)
EVENT = "loop.stalled"
"""The log line; ``ms`` is how long the loop stood still, ``cpu_ms`` its own work meanwhile, of
which ``gc_ms`` were the collector's."""


@contextmanager
def watched_loop(stall_ms: float) -> Iterator[None]:
    """Log every callback that runs longer, in milliseconds; with 0 nothing is measured.

    Each callback is timed as a whole, as asyncio's own debug mode does, without its cost. While
    one runs, nothing else of the process does: no heartbeat, no result, no commit. Only asyncio's
    own loop can be watched (``ANDON_EVENT_LOOP=asyncio``); with another the log says so.
    """
    if not stall_ms:
        yield
        return
    if not isinstance(asyncio.get_event_loop_policy(), asyncio.DefaultEventLoopPolicy):
        log.warning("loop.not_watched", remedy="set ANDON_EVENT_LOOP=asyncio")
    run = asyncio.Handle._run
    collecting, collected_s = [0.0], [0.0]

    def collector(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            collecting[0] = time.perf_counter()
        else:
            collected_s[0] += time.perf_counter() - collecting[0]

    def timed(handle: asyncio.Handle) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        collected_s[0] = 0.0
        run(handle)
        took_ms = (time.perf_counter() - began) * 1000
        if took_ms >= stall_ms:
            own_ms = (time.thread_time() - cpu) * 1000
            found = {"ms": took_ms, "cpu_ms": own_ms, "gc_ms": 1000 * collected_s[0]}
            shown = {name: round(value, 2) for name, value in found.items()}
            log.warning(EVENT, **shown, of=named(handle))

    setattr(asyncio.Handle, "_run", timed)  # noqa: B010 - there is no public place to time it
    gc.callbacks.append(collector)
    try:
        yield
    finally:
        gc.callbacks.remove(collector)
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
