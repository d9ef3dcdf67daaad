"""What the core begins and does not wait for, such as captures and publishing, until its end."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import structlog

from connectors.errors import SpoolFullError

log = structlog.get_logger(__name__)
_LOOK_S = 0.02
"""It is looked again after so long whether all is done, seconds."""


class BackgroundTasks:
    """Tasks that nobody waits for until the gateway ends; a failure of one stops no other."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Begin it now."""
        task = asyncio.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, timeout_s: float, is_awaited: Callable[[], bool]) -> None:
        """Return once all are done and nothing is awaited that may start another, or it is time."""
        until = time.monotonic() + timeout_s
        while (self._tasks or is_awaited()) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    async def cancel(self) -> None:
        """End those that are left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _guarded(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except SpoolFullError as error:
        log.error("spool.full", why=str(error))
    except Exception:  # one part's failure must not stop the line; the watchdog decides it
        log.exception("gateway.task_failed")
