"""Dynamic batches: items of concurrent calls share one pass of the model."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class QueueFull(Exception):
    """The bytes waiting exceed the bound; the item was not taken."""


class Expired(Exception):
    """The item's caller stopped waiting before its turn came."""


@dataclass
class _Waiting(Generic[T, R]):
    item: T
    weight: int
    expires: float
    future: "asyncio.Future[R]"


class Batches(Generic[T, R]):
    """Collects items and runs them through ``work`` in batches.

    While one batch occupies the model the next may be prepared (decoded), and what arrives
    meanwhile makes the one after it larger: no fixed window adds to the latency when it is busy.

    Args:
        work: answers a batch, one result per item, in order; an exception fails the batch.
        size: most items per batch.
        wait_s: how long an idle batcher waits for a batch to fill, seconds.
        limit: bound on the summed weight (bytes) of waiting items.
        under_way: most batches at once.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        size: int,
        wait_s: float,
        limit: int,
        under_way: int = 2,
    ) -> None:
        self._work, self._size, self._wait_s, self._limit = work, size, wait_s, limit
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._weight = 0
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(under_way)
        self._loop_task: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Items not yet in a batch."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and not self._running

    def submit(self, item: T, weight: int, timeout_s: float) -> "asyncio.Future[R]":
        """Queue one item; its future gives the result, ``QueueFull`` or ``Expired``."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        if self._waiting and self._weight + weight > self._limit:
            future.set_exception(QueueFull())
            return future
        self._waiting.append(_Waiting(item, weight, loop.time() + timeout_s, future))
        self._weight += weight
        self._arrived.set()
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = loop.create_task(self._run())
        return future

    async def close(self) -> None:
        """Cancel what waits and what runs."""
        tasks = [t for t in (self._loop_task, *self._running) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in self._waiting:
            waiting.future.cancel()
        self._waiting.clear()

    async def _run(self) -> None:
        while self._waiting:
            await self._slots.acquire()
            try:
                batch = await self._collect()
            except BaseException:
                self._slots.release()
                raise
            task = asyncio.create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._slots.release()

    async def _collect(self) -> list[_Waiting[T, R]]:
        loop = asyncio.get_running_loop()
        until = loop.time() + (0 if self._running else self._wait_s)
        while len(self._waiting) < self._size and (left := until - loop.time()) > 0:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                break
        count = min(self._size, len(self._waiting))
        taken = [self._waiting.popleft() for _ in range(count)]
        self._weight -= sum(w.weight for w in taken)
        return taken

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        now = asyncio.get_running_loop().time()
        live = []
        for waiting in batch:
            if waiting.future.done():
                continue
            if waiting.expires <= now:
                waiting.future.set_exception(Expired())
            else:
                live.append(waiting)
        if not live:
            return
        try:
            results = await self._work([w.item for w in live])
            for waiting, result in zip(live, results, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(result)
        except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
            for waiting in live:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
        finally:
            for waiting in live:
                waiting.future.cancel()
