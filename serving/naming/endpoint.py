"""One OpenAI-compatible endpoint, guarded: deadline, retries, rate limits, breaker, budget.

Whoever asks is answered by the deadline. A call that is still under way then goes on in the
background until the endpoint's own time limit, keeping its place: the endpoint never sees more
than ``max_concurrency`` calls at once, and what a late answer cost is accounted for.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from serving.naming.answers import RawAnswer
from serving.naming.completion import Completion, Question, estimate_tokens
from serving.naming.guard import CircuitBreaker, HourlyBudget, Spending, retry_delay_s
from serving.naming.settings import EndpointSettings
from serving.naming.transport import Failed, Problem, Transport


@dataclass(frozen=True)
class Reply:
    """One answered call."""

    raw: RawAnswer
    model: str
    tokens_in: int
    tokens_out: int
    cost: float
    latency_ms: float
    """Of the call itself, without waiting or retries."""
    attempts: int = 1


@dataclass(frozen=True)
class Unanswered:
    """No answer by the deadline, and why."""

    problem: Problem
    message: str
    attempts: int = 0


@dataclass
class Statistics:
    """Counters since the start of the process."""

    questions: int = 0
    calls: int = 0
    answered: int = 0
    retried: int = 0
    rate_limited: int = 0
    failed: int = 0
    unanswered: int = 0
    late_answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    in_flight: int = 0
    in_flight_most: int = 0
    waiting: int = 0


class Late(Protocol):
    """Told of one call that outlives its deadline."""

    def goes_on(self) -> None:
        """The deadline passed and the call is still under way."""
        ...

    def ended(self, reply: Reply | None) -> None:
        """After ``goes_on``: the answer, or None when the call failed or was dropped."""
        ...


class Endpoint:
    """A client of one endpoint. Create and use it inside one event loop."""

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.statistics = Statistics()
        self.breaker = CircuitBreaker(settings.breaker)
        self.budget = HourlyBudget(settings.budget)
        self._clock = clock
        self._rng = rng or random.Random()
        self._places = asyncio.Semaphore(settings.max_concurrency)
        self._not_before = 0.0
        self._typical_s = 0.0
        self._transport: Transport | None = None
        self._background: set[asyncio.Task[Any]] = set()

    @property
    def name(self) -> str:
        """The endpoint's name in settings, stages and messages."""
        return self.settings.name

    async def start(self) -> None:
        """Make the connection pool; nothing is sent yet."""
        self._transport = Transport(self.settings)

    async def close(self) -> None:
        """Drop late answers still under way and close the connections."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def ask(
        self, question: Question, timeout_s: float, on_late: Late | None = None
    ) -> Reply | Unanswered:
        """Answer within ``timeout_s`` seconds, retrying only while time remains.

        ``on_late`` is told of a call that is answered after the deadline, if ever.
        """
        self.statistics.questions += 1
        outcome = await self._ask(question, self._clock(), timeout_s, on_late)
        if isinstance(outcome, Unanswered):
            self.statistics.unanswered += 1
        return outcome

    def unavailable(self) -> Unanswered | None:
        """Why a question would be refused right now, before anybody makes pictures for it."""
        if self._transport is None:
            return Unanswered(Problem.CLOSED, f"endpoint {self.name} is not started")
        if self.breaker.wait_s(self._clock()) > 0:
            return self._open(0)
        return None

    async def _ask(
        self, question: Question, began: float, timeout_s: float, on_late: Late | None
    ) -> Reply | Unanswered:
        deadline = began + timeout_s
        attempt, last = 0, "no call was made"
        while True:
            refusal = await self._enter(question, began, deadline, attempt, last)
            if refusal is not None:
                return refusal
            attempt += 1
            self.statistics.retried += attempt > 1
            outcome = await self._within(question, began, deadline, attempt, on_late)
            if not isinstance(outcome, Failed):
                return outcome
            last = outcome.message
            if not outcome.retryable or attempt >= self.settings.attempts:
                return Unanswered(outcome.problem, last, attempt)
            pause = retry_delay_s(
                attempt,
                deadline - self._clock(),
                outcome.retry_after_s,
                self.settings.backoff_s,
                self.settings.backoff_most_s,
                self._rng,
            )
            if pause is None:
                return Unanswered(outcome.problem, f"{last}; no time for a retry", attempt)
            await asyncio.sleep(pause)

    async def _enter(
        self, question: Question, began: float, deadline: float, attempt: int, last: str
    ) -> Unanswered | None:
        """Take a place, a reservation and the breaker's leave; or say why not."""
        if (refusal := self.unavailable()) is not None:
            return replace(refusal, attempts=attempt)
        if not await self._respect_rate_limit(deadline):
            return Unanswered(Problem.RATE_LIMITED, f"{self.name} asks to wait longer", attempt)
        if self._places.locked() and self.statistics.waiting >= self.settings.max_waiting:
            waiting = f"{self.statistics.waiting} requests wait for {self.name} already"
            return Unanswered(Problem.BUSY, waiting, attempt)
        if not await self._take_place(deadline):
            return Unanswered(
                Problem.LATE, f"no free place at {self.name} in time ({last})", attempt
            )
        left_s = deadline - self._clock()
        if 2 * left_s < min(deadline - began, self._typical_s):
            self._places.release()
            text = f"{left_s:.2f} s left, {self.name} takes about {self._typical_s:.2f} s"
            return Unanswered(Problem.LATE, text, attempt)
        if not self.breaker.admit(self._clock()):
            self._places.release()
            return self._open(attempt)
        if not self.budget.reserve(self._estimate(question), self._clock()):
            self._places.release()
            self.breaker.abandoned()
            return Unanswered(Problem.OVER_BUDGET, f"the hour's budget of {self.name}", attempt)
        return None

    async def _within(
        self, question: Question, began: float, deadline: float, attempt: int, late: Late | None
    ) -> Reply | Unanswered | Failed:
        """One call up to the deadline; beyond it the call goes on without us."""
        sent = self._clock()
        task = asyncio.create_task(self._call(question, attempt))
        try:
            await asyncio.wait({task}, timeout=max(0.0, deadline - sent))
        except asyncio.CancelledError:
            self._detach(task, late)
            self.breaker.abandoned()
            raise
        if task.done():
            outcome = task.result()
            self._note(outcome)
            return outcome
        self._detach(task, late)
        if 2 * (deadline - sent) >= deadline - began:
            self.breaker.failed(self._clock())
        else:  # most of the time went by before the call: that is load, not the endpoint
            self.breaker.abandoned()
        given_s = deadline - sent
        return Unanswered(Problem.LATE, f"{self.name} gave no answer in {given_s:.2f} s", attempt)

    def _note(self, outcome: "Reply | Failed") -> None:
        """What an answer in time, or a failure, says about the endpoint."""
        now = self._clock()
        if isinstance(outcome, Reply):
            self.breaker.succeeded()
            weight = 0.1 if self._typical_s else 1.0
            self._typical_s += weight * (outcome.latency_ms / 1000 - self._typical_s)
        elif outcome.blames_endpoint:
            self.breaker.failed(now)
        else:
            self.breaker.abandoned()

    def _detach(self, task: "asyncio.Task[Reply | Failed]", on_late: Late | None) -> None:
        self._background.add(task)
        if on_late is not None:
            on_late.goes_on()

        def done(finished: "asyncio.Task[Reply | Failed]") -> None:
            self._background.discard(finished)
            reply = None
            try:
                if not finished.cancelled():
                    outcome = finished.result()  # a defect surfaces in the loop's handler
                    reply = outcome if isinstance(outcome, Reply) else None
                self.statistics.late_answers += reply is not None
            finally:
                if on_late is not None:
                    on_late.ended(reply)

        task.add_done_callback(done)

    async def _call(self, question: Question, attempt: int) -> Reply | Failed:
        """One HTTP call in the place that was taken. Gives place and reservation back."""
        estimate = self._estimate(question)
        spent = estimate
        began = self._clock()
        stats = self.statistics
        stats.calls += 1
        stats.in_flight += 1
        stats.in_flight_most = max(stats.in_flight_most, stats.in_flight)
        assert self._transport is not None
        try:
            outcome = await self._transport.send(question)
            if isinstance(outcome, Failed):
                spent = estimate if outcome.billed else Spending()
                self._count_failure(outcome)
                return outcome
            reply = self._reply(outcome, question, (self._clock() - began) * 1000, attempt)
            spent = Spending(reply.tokens_in + reply.tokens_out, reply.cost)
            stats.answered += 1
            return reply
        finally:
            stats.in_flight -= 1
            self.budget.settle(estimate, spent, self._clock())
            self._places.release()

    def _reply(
        self, completion: Completion, question: Question, latency_ms: float, attempt: int
    ) -> Reply:
        guess_in, guess_out = estimate_tokens(question, self.settings)
        tokens_in = guess_in if completion.tokens_in is None else completion.tokens_in
        tokens_out = guess_out if completion.tokens_out is None else completion.tokens_out
        cost = self.settings.prices.cost(tokens_in, tokens_out)
        self.statistics.tokens_in += tokens_in
        self.statistics.tokens_out += tokens_out
        self.statistics.cost += cost
        model = completion.model or self.settings.model
        return Reply(completion.raw, model, tokens_in, tokens_out, cost, latency_ms, attempt)

    def _count_failure(self, outcome: Failed) -> None:
        now = self._clock()
        if outcome.problem is Problem.RATE_LIMITED:
            self.statistics.rate_limited += 1
            if outcome.retry_after_s is not None:
                self._not_before = max(self._not_before, now + outcome.retry_after_s)
        else:
            self.statistics.failed += 1

    async def _respect_rate_limit(self, deadline: float) -> bool:
        """Wait until the endpoint takes calls again; False when that is after the deadline."""
        while (pause := self._not_before - self._clock()) > 0:
            if self._not_before >= deadline:
                return False
            await asyncio.sleep(pause)
        return True

    async def _take_place(self, deadline: float) -> bool:
        self.statistics.waiting += 1
        try:
            return await _before(self._places.acquire(), deadline - self._clock())
        finally:
            self.statistics.waiting -= 1

    def _open(self, attempt: int) -> Unanswered:
        wait_s = self.breaker.wait_s(self._clock())
        text = f"{self.name} failed repeatedly; asked again in {wait_s:.1f} s"
        return Unanswered(Problem.BREAKER_OPEN, text, attempt)

    def _estimate(self, question: Question) -> Spending:
        tokens_in, tokens_out = estimate_tokens(question, self.settings)
        return Spending(tokens_in + tokens_out, self.settings.prices.cost(tokens_in, tokens_out))


async def _before(awaitable: Coroutine[Any, Any, Any], timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await awaitable
    except TimeoutError:
        return False
    return True
