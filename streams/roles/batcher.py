"""Batches for the expert and the classifier: earliest deadline first, bounded, never starving.

Items whose fallback is still to come are served in the order of their deadlines; items that are
already decided wait for idle capacity, oldest first, and are given up when they hold too much
memory. So overload costs inspections of decided parts, not decisions in time.
"""

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streams.codes import ReasonCode
from streams.ports import Failure
from streams.roles.deadlines import call_timeout_s

Request = TypeVar("Request")
Answer = TypeVar("Answer")
LEAST_CALL_S = 1.0


@dataclass(frozen=True)
class Answered(Generic[Answer]):
    """What came back for one item, and when it was sent and answered (seconds, wall clock)."""

    answer: Answer | Failure
    sent_s: float
    answered_s: float


@dataclass
class _Item(Generic[Request, Answer]):
    request: Request
    due_s: float
    size: int
    future: "asyncio.Future[Answered[Answer]]"
    queued_s: float = field(default_factory=time.time)


class Batcher(Generic[Request, Answer]):
    """Collects items into calls of at most ``batch``, with at most ``calls`` calls at once."""

    def __init__(
        self,
        call: Callable[[Sequence[Request], float], Awaitable[Sequence[Answer | Failure]]],
        *,
        batch: int,
        wait_s: float,
        calls: int,
        longest_call_s: float,
        backlog_bytes: int,
        unavailable: ReasonCode,
    ) -> None:
        """``backlog_bytes`` bounds the items that are decided already and still wait."""
        self._call = call
        self._batch = batch
        self._wait_s = wait_s
        self._free_calls = calls
        self._longest_call_s = longest_call_s
        self._backlog_limit = backlog_bytes
        self._unavailable = unavailable
        self._live: list[tuple[float, int, _Item[Request, Answer]]] = []
        self._expired: deque[_Item[Request, Answer]] = deque()
        self._backlog_bytes = 0
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, request: Request, due_s: float, size: int
    ) -> "asyncio.Future[Answered[Answer]]":
        """Queue one item; the future resolves to an answer or a ``Failure``, never raises."""
        future: asyncio.Future[Answered[Answer]] = asyncio.get_running_loop().create_future()
        item = _Item(request, due_s, size, future)
        heapq.heappush(self._live, (due_s, next(self._order), item))
        self._pump()
        return future

    @property
    def waiting(self) -> int:
        """Items not yet sent."""
        return len(self._live) + len(self._expired)

    async def close(self) -> None:
        """Cancel the calls under way; what waits is answered with a failure."""
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        for item in [*(entry[2] for entry in self._live), *self._expired]:
            self._fail(item, "Stopping", "the worker is stopping")
        self._live.clear()
        self._expired.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _pump(self) -> None:
        self._expire(time.time())
        while self._free_calls > 0 and self.waiting:
            if self.waiting < self._batch and not self._waited():
                return
            self._send(self._next_batch())
        if self._live and self._expiry is None:
            left = max(0.0, self._live[0][0] - time.time())
            self._expiry = asyncio.get_running_loop().call_later(left, self._on_expiry)

    def _on_expiry(self) -> None:
        """Every slot is taken and a deadline passes: memory is freed without their help."""
        self._expiry = None
        self._pump()

    def _waited(self) -> bool:
        """Whether what waits has waited long enough; otherwise a timer comes back to it."""
        oldest = min(
            [i.queued_s for _, _, i in self._live] + [i.queued_s for i in self._expired][:1]
        )
        left = oldest + self._wait_s - time.time()
        if left <= 0.0005:
            return True
        if self._timer is None or self._timer.cancelled():
            self._timer = asyncio.get_running_loop().call_later(left, self._on_timer)
        return False

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _expire(self, now_s: float) -> None:
        while self._live and self._live[0][0] <= now_s:
            item = heapq.heappop(self._live)[2]
            self._expired.append(item)
            self._backlog_bytes += item.size
        while self._backlog_bytes > self._backlog_limit and self._expired:
            item = self._expired.popleft()
            self._backlog_bytes -= item.size
            self._fail(item, "Overloaded", "decided by fallback and given up under overload")

    def _next_batch(self) -> list[_Item[Request, Answer]]:
        items: list[_Item[Request, Answer]] = []
        while len(items) < self._batch and self._live:
            items.append(heapq.heappop(self._live)[2])
        while len(items) < self._batch and self._expired:
            item = self._expired.popleft()
            self._backlog_bytes -= item.size
            items.append(item)
        return items

    def _send(self, items: list[_Item[Request, Answer]]) -> None:
        self._free_calls -= 1
        task = asyncio.create_task(self._run(items))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._free_calls += 1
        if not task.cancelled():
            self._pump()

    async def _run(self, items: list[_Item[Request, Answer]]) -> None:
        sent_s = time.time()
        answers: Sequence[Answer | Failure]
        timeout_s = call_timeout_s(
            [item.due_s for item in items], sent_s, self._longest_call_s, LEAST_CALL_S
        )
        try:
            async with asyncio.timeout(timeout_s):
                answers = await self._call([item.request for item in items], timeout_s)
            if len(answers) != len(items):
                raise ValueError(f"{len(answers)} answers to {len(items)} requests")
        except TimeoutError:
            answers = [self._failure("Timeout", f"no answer within {timeout_s:.2f} s")] * len(items)
        except asyncio.CancelledError:
            for item in items:
                self._fail(item, "Stopping", "the worker is stopping")
            raise
        except Exception as error:  # noqa: BLE001 - a port that raises is unavailable
            answers = [self._failure(type(error).__name__, str(error))] * len(items)
        answered_s = time.time()
        for item, answer in zip(items, answers, strict=True):
            if not item.future.done():
                item.future.set_result(Answered(answer, sent_s, answered_s))

    def _fail(self, item: _Item[Request, Answer], error_type: str, message: str) -> None:
        if not item.future.done():
            now_s = time.time()
            final = Failure(self._unavailable, error_type, message, retryable=False)
            item.future.set_result(Answered(final, now_s, now_s))

    def _failure(self, error_type: str, message: str) -> Failure:
        return Failure(self._unavailable, error_type, message, retryable=True)
