"""Collects items into writes: at most ``batch`` items, or after ``wait_s`` seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Collector(Generic[Item]):
    """One writer task over one queue; ``add`` returns once its item is written.

    Unbounded here: the role's intake bounds what is in flight.
    """

    def __init__(
        self, write: Callable[[Sequence[Item]], Awaitable[None]], batch: int, wait_s: float
    ) -> None:
        """``write`` returns when all items are stored, and must not raise."""
        self._write = write
        self._batch = batch
        self._wait_s = wait_s
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[None]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        """Wait until ``item`` is written.

        Raises:
            asyncio.CancelledError: the collector was closed first.
        """
        if self._task is None:
            # in a context of its own: it works for every part, not for the first one
            self._task = asyncio.create_task(self._run(), context=Context())
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, written))
        await written

    async def close(self) -> None:
        """Stop; what was not written is cancelled, and so stays unacknowledged."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()[1].cancel()

    async def _run(self) -> None:
        while True:
            entries = [await self._queue.get()]
            try:
                async with asyncio.timeout(self._wait_s):
                    while len(entries) < self._batch:
                        entries.append(await self._queue.get())
            except TimeoutError:
                pass
            try:
                await self._write([item for item, _ in entries])
            except BaseException:
                for _, written in entries:
                    written.cancel()
                raise
            for _, written in entries:
                if not written.done():
                    written.set_result(None)
