"""The calls of the expert and the classifier: each line in turn, bounded, repeated.

Items whose fallback is still to come are sent by turns of their lines, of a line the earliest
deadline first; items that are already decided wait for idle capacity, oldest first, and are given
up when they hold too much memory. So overload costs inspections of decided parts, not decisions in
time, and one line's overload costs the others nothing.
"""

import asyncio
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from streams.backoff import backoff_s
from streams.codes import ReasonCode
from streams.events import Inspection
from streams.ports import Failure
from streams.roles.config import FlowConfig
from streams.roles.queues import ToldQueues
from streams.roles.turns import Turns

Request = TypeVar("Request")
Answer = TypeVar("Answer")
T = TypeVar("T")
LEAST_CALL_S = 1.0
"""A call holds its place at least so long, though all of its items may be decided, seconds."""
LARGE_MASK_TEXT = 8192
"""Reading a longer mask takes over 5 ms: too long for an event loop, characters."""


@dataclass(frozen=True)
class Answered(Generic[Answer]):
    """What came back for one item, and when it was sent and answered (seconds, monotonic clock)."""

    answer: Answer | Failure
    sent_s: float
    answered_s: float


@dataclass(frozen=True)
class InTime(Generic[Answer]):
    """The answer, or the final failure, before the fallback was due. Nothing follows."""

    answered: Answered[Answer]


@dataclass(frozen=True)
class FallbackDue:
    """The fallback must be decided now; a ``Late`` follows."""

    failure: Failure


@dataclass(frozen=True)
class Late(Generic[Answer]):
    """What came after the fallback; a ``Failure`` when nothing did."""

    answered: Answered[Answer]


@dataclass
class _Item(Generic[Request, Answer]):
    request: Request
    due_s: float
    size: int
    future: "asyncio.Future[Answered[Answer]]"
    queued_s: float = field(default_factory=time.monotonic)
    sent_s: float | None = None

    def not_in_time(self, last: Failure | None) -> Failure:
        """Why there is no answer by now: what the last call said, if one was answered."""
        if last is not None:
            return replace(last, message=f"{last.message}; asked again, without an answer in time")
        if self.due_s <= self.queued_s:
            over_s = self.queued_s - self.due_s
            message = f"its time had been over for {over_s:.1f} s when it came"
            return Failure(ReasonCode.LATE, "Late", f"{message} (a backlog, or clock skew)")
        if self.sent_s is None:
            waited_ms = (time.monotonic() - self.queued_s) * 1000
            message = f"it waited {waited_ms:.0f} ms in the worker, whose calls were all under way"
            return Failure(ReasonCode.LATE, "Queued", message)
        message = f"it was asked {(time.monotonic() - self.sent_s) * 1000:.0f} ms before"
        return Failure(ReasonCode.LATE, "Late", message)


class Calls(Generic[Request, Answer]):
    """Collects items into calls of at most ``batch``, with a bounded number of calls at once.

    While no call is under way an item is sent at once; else it waits up to ``flow.batch_wait_s``
    for others to travel with. What would wait in the replica's own queue, as ``queues`` knows,
    waits here instead: it loses nothing, and travels by a fuller call.

    A call holds its place until it is answered or the fallbacks of all its items are due. With
    ``late_s`` it then goes on in the background until it is that many seconds old, and so that
    calls which went on hold at most ``flow.late_parts`` items; without, it is cut.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Request], float], Awaitable[Sequence[Answer | Failure]]],
        flow: FlowConfig,
        unavailable: ReasonCode,
        batch: int = 1,
        late_s: float = 0.0,
        queues: ToldQueues[Request, Answer] | None = None,
    ) -> None:
        """``unavailable`` is the reason code of a call that fails as a whole; ``queues`` is told of
        every answer, without it nothing waits for its sake.
        """
        self._call = call
        self._flow = flow
        self._unavailable = unavailable
        self._batch = batch
        self._late_s = late_s
        self._queues = queues
        self._places = max(1, flow.concurrency // batch)
        self._decided_limit = flow.in_flight_bytes // 2
        self._live: Turns[_Item[Request, Answer]] = Turns()
        self._decided: deque[_Item[Request, Answer]] = deque()
        self._decided_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._late: OrderedDict[asyncio.Task[None], list[_Item[Request, Answer]]] = OrderedDict()

    async def ask(
        self, request: Request, due_s: float, size: int, line: str = ""
    ) -> AsyncGenerator[InTime[Answer] | FallbackDue | Late[Answer], None]:
        """``InTime``, or ``FallbackDue`` at ``due_s`` and then ``Late``.

        A retryable failure is asked again, at growing intervals, up to ``late_grace_s`` after
        ``due_s``. The wait for the fallback is this coroutine's own timer: no queue delays it.
        """
        flow, decided = self._flow, False
        last: Failure | None = None
        give_up_s = max(due_s, time.monotonic()) + flow.late_grace_s
        for attempt in itertools.count():
            item = self._submit(request, due_s, size, line)
            if not decided:
                if item.queued_s < due_s:  # else its fallback is due, however quick the answer
                    await asyncio.wait({item.future}, timeout=remaining_s(due_s))
                if not item.future.done():
                    decided = True
                    yield FallbackDue(item.not_in_time(last))
            answered = await item.future
            failure = answered.answer
            last = failure if isinstance(failure, Failure) else None
            if not isinstance(failure, Failure) or not failure.retryable:
                yield Late(answered) if decided else InTime(answered)
                return
            wake_s = time.monotonic() + backoff_s(attempt, flow.retry_s, flow.retry_cap_s)
            if not decided and wake_s >= due_s:
                await asyncio.sleep(remaining_s(due_s))
                decided = True
                yield FallbackDue(failure)
            if wake_s >= give_up_s:
                yield Late(answered)
                return
            await asyncio.sleep(remaining_s(wake_s))

    async def close(self) -> None:
        """Cancel the calls under way; what waits is answered with a failure."""
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        for item in [*self._live.clear(), *self._decided]:
            self._give_up(item, "Stopping", "the worker is stopping")
        self._decided.clear()
        calls = [*self._calls, *self._late]
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def _submit(
        self, request: Request, due_s: float, size: int, line: str
    ) -> _Item[Request, Answer]:
        """Queue one item; its future resolves to an answer or a ``Failure``, never raises."""
        future: asyncio.Future[Answered[Answer]] = asyncio.get_running_loop().create_future()
        item = _Item(request, due_s, size, future)
        self._live.push(line, due_s, item)
        self._pump()
        return item

    def _pump(self) -> None:
        self._expire(time.monotonic())
        while len(self._calls) < self._places and (self._live or self._decided):
            waiting = len(self._live) + len(self._decided)
            # an idle expert has nothing to gain from a fuller call
            if self._calls and waiting < self._batch and not self._waited():
                return
            self._send(self._next_batch())
        if self._live and self._expiry is None:
            left = remaining_s(self._live.next_due_s)
            self._expiry = asyncio.get_running_loop().call_later(left, self._on_expiry)

    def _on_expiry(self) -> None:
        """Every place is taken and a deadline passes: memory is freed without their help."""
        self._expiry = None
        self._pump()

    def _waited(self) -> bool:
        """Whether what waits has waited long enough; otherwise a timer comes back to it."""
        waiting = [*self._live, *list(self._decided)[:1]]
        wait_s = self._flow.batch_wait_s
        if self._queues is not None:
            wait_s = max(wait_s, self._queues.wait_s(i.request for i in waiting))
        left = min(i.queued_s for i in waiting) + wait_s - time.monotonic()
        if left <= 0.0005:
            return True
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() > loop.time() + left:
            self._timer.cancel()  # the queue has become shorter
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_later(left, self._on_timer)
        return False

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _expire(self, now_s: float) -> None:
        for item in self._live.expired(now_s):
            self._decided.append(item)
            self._decided_bytes += item.size
        while self._decided_bytes > self._decided_limit and self._decided:
            item = self._decided.popleft()
            self._decided_bytes -= item.size
            self._give_up(item, "Overloaded", "decided by fallback and given up under overload")

    def _next_batch(self) -> list[_Item[Request, Answer]]:
        items: list[_Item[Request, Answer]] = []
        while len(items) < self._batch and self._live:
            items.append(self._live.pop())
        while len(items) < self._batch and self._decided:
            item = self._decided.popleft()
            self._decided_bytes -= item.size
            items.append(item)
        return items

    def _send(self, items: list[_Item[Request, Answer]]) -> None:
        place_s = call_timeout_s(
            [item.due_s for item in items],
            time.monotonic(),
            self._flow.call_timeout_s,
            LEAST_CALL_S,
        )
        timeout_s = max(place_s, self._late_s)
        for item in items:
            item.sent_s = time.monotonic()
        task = asyncio.create_task(self._run(items, timeout_s))
        self._calls.add(task)
        task.add_done_callback(self._finished)
        if timeout_s > place_s:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(place_s, self._go_on_late, task, items)
            task.add_done_callback(lambda _: timer.cancel())

    def _go_on_late(self, task: "asyncio.Task[None]", items: list[_Item[Request, Answer]]) -> None:
        """The call leaves its place to another, and keeps its pictures within the bounds."""
        self._calls.discard(task)
        self._late[task] = items
        while self._too_many_late():
            self._late.popitem(last=False)[0].cancel()
        self._pump()

    def _too_many_late(self) -> bool:
        held = [item.size for items in self._late.values() for item in items]
        return len(held) > self._flow.late_parts or sum(held) > self._decided_limit

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        self._late.pop(task, None)
        if not task.cancelled():
            self._pump()

    async def _run(self, items: list[_Item[Request, Answer]], timeout_s: float) -> None:
        sent_s = time.monotonic()
        answers: Sequence[Answer | Failure]
        try:
            async with asyncio.timeout(timeout_s):
                answers = await self._call([item.request for item in items], timeout_s)
            if len(answers) != len(items):
                raise ValueError(f"{len(answers)} answers to {len(items)} requests")
        except TimeoutError:
            answers = [self._failure("Timeout", f"no answer within {timeout_s:.2f} s")] * len(items)
        except asyncio.CancelledError:
            for item in items:
                self._give_up(item, "GivenUp", "the worker is stopping, or too many are late")
            raise
        except Exception as error:  # noqa: BLE001 - a port that raises is unavailable
            answers = [self._failure(type(error).__name__, str(error))] * len(items)
        answered_s = time.monotonic()
        if self._queues is not None:
            self._queues.answered((i.request, a) for i, a in zip(items, answers, strict=True))
        for item, answer in zip(items, answers, strict=True):
            if not item.future.done():
                item.future.set_result(Answered(answer, sent_s, answered_s))

    def _give_up(self, item: _Item[Request, Answer], error_type: str, message: str) -> None:
        if not item.future.done():
            now_s = time.monotonic()
            final = Failure(self._unavailable, error_type, message, retryable=False)
            item.future.set_result(Answered(final, now_s, now_s))

    def _failure(self, error_type: str, message: str) -> Failure:
        return Failure(self._unavailable, error_type, message, retryable=True)


async def beside_the_loop(inspections: Iterable[Inspection | None], decide: Callable[[], T]) -> T:
    """What ``decide`` returns, which may look at these inspections' masks: where one is large it
    runs in a thread."""
    regions = (found.region for found in inspections if found is not None)
    if any(len(region.mask_rle) > LARGE_MASK_TEXT for region in regions if region is not None):
        return await asyncio.to_thread(decide)
    return decide()


def remaining_s(due_s: float) -> float:
    """Seconds from now until ``due_s`` of the monotonic clock; never negative."""
    return max(0.0, due_s - time.monotonic())


def call_timeout_s(dues_s: list[float], now_s: float, longest_s: float, least_s: float) -> float:
    """How long one batched call may hold its place.

    Until the last fallback of the batch is due, so that a hanging call does not hold its place
    much longer than it is of use; at least ``least_s`` (late answers are recorded too), at most
    ``longest_s``.

    >>> call_timeout_s([102.0, 100.1], now_s=100.0, longest_s=5.0, least_s=1.0)
    2.0
    """
    return min(longest_s, max(least_s, max(dues_s, default=now_s) - now_s))
