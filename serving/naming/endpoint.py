"""One OpenAI-compatible endpoint, guarded: deadline, retries, rate limits, breaker, budget.

It learns what the endpoint accepts: a refusal that names a field of the request is followed by the
same question without it, at once, and every later question is put in that way.

Whoever asks is answered by the deadline; a call that is still under way then is cancelled, and the
budget counts it at its estimate. At most ``max_concurrency`` calls are under way at once.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from serving.naming.answers import RawAnswer
from serving.naming.calls import CallProblem, Completion, Failed, Question, Statistics
from serving.naming.completion import Transport, estimate_tokens, sent_by
from serving.naming.guard import CallBill, CircuitBreaker, HourlyBudget, Spending, retry_delay_s
from serving.naming.manners import Manners, learn, refused_feature
from serving.naming.refusals import Refusal
from serving.naming.settings import EndpointSettings
from streams.log import Outage
from streams.masking import masking_logger
from streams.tracing.spans import Attribute, SpanKind, step

log = masking_logger(__name__)


@dataclass(frozen=True)
class Reply:
    """One answered call."""

    raw: RawAnswer
    model: str
    tokens_in: int
    tokens_out: int
    cost: float
    latency_ms: float
    """Time of the call itself, without waiting or retries."""
    attempts: int = 1


@dataclass(frozen=True)
class Unanswered:
    """No answer by the deadline, and why."""

    problem: CallProblem
    message: str
    attempts: int = 0


class Endpoint:
    """A client of one endpoint. Create and use it inside one event loop."""

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        budget: HourlyBudget | None = None,
    ) -> None:
        """``budget``: the hour's, where other clients of this process spend it too."""
        self.settings = settings
        self.statistics = Statistics()
        self.breaker = CircuitBreaker(settings.breaker)
        self.budget = budget or HourlyBudget(settings.budget)
        self.manners = settings.accepts or Manners()
        self._clock = clock
        self._chance = chance
        self._outage = Outage(clock)
        self._last_failure = ""
        self.last_refusal: Refusal | None = None
        """What the endpoint last said when it did not answer."""
        self._places = asyncio.Semaphore(settings.max_concurrency)
        self._not_before = 0.0
        self._typical_s = 0.0
        self._dearer = 1.0
        self._transport: Transport | None = None

    @property
    def name(self) -> str:
        """The endpoint's name in settings, stages and messages."""
        return self.settings.name

    async def start(self) -> None:
        """Make the connection pool; nothing is sent yet."""
        address = self.settings.address
        if address.is_mended:
            log.warning("%s: base_url is read as %s", self.name, address.url)
        self._transport = Transport(self.settings)

    async def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def ask(
        self, question: Question, timeout_s: float, bill: CallBill | None = None
    ) -> Reply | Unanswered:
        """Answer within ``timeout_s`` seconds, retrying only while time remains.

        ``bill`` is told of every call that was made, also when whoever asks is cancelled.
        """
        bill = CallBill() if bill is None else bill
        began = self._clock()
        deadline = began + timeout_s
        attempt, taught, last = 0, 0, "no call was made"
        pictures = {"jpeg": self.manners.jpeg, "side_most_px": self.manners.side_most_px}
        while True:
            refusal = await self._enter(question, began, deadline, attempt, last)
            if refusal is not None:
                return refusal
            attempt += 1
            self.statistics.retried += attempt > 1
            manners = self.manners
            outcome = await self._within(question, manners, began, deadline, attempt, bill)
            if not isinstance(outcome, Failed):
                self._tell_back(outcome)
                return outcome
            last, left_s = outcome.message, deadline - self._clock()
            self.last_refusal = outcome.refusal
            if await self._learns(question, manners, outcome):
                taught += 1
                continue
            self._tell_failed(outcome)
            if taught and not outcome.retryable:  # smaller pictures did not help
                self.manners = self.manners.model_copy(update=pictures)
            if not outcome.retryable or attempt - taught >= self.settings.attempts:
                return Unanswered(outcome.problem, last, attempt)
            asked_s = outcome.retry_after_s
            pause = retry_delay_s(attempt - taught, left_s, asked_s, self.settings, self._chance)
            if pause is None:
                return Unanswered(outcome.problem, f"{last}; no time for a retry", attempt)
            await asyncio.sleep(pause)

    def unavailable(self) -> Unanswered | None:
        """Why a question would be refused right now, before anybody makes pictures for it."""
        if self._transport is None:
            return Unanswered(CallProblem.CLOSED, f"endpoint {self.name} is not started")
        if self.breaker.wait_s(self._clock()) > 0:
            return self._open(0)
        return None

    async def _enter(
        self, question: Question, began: float, deadline: float, attempt: int, last: str
    ) -> Unanswered | None:
        """Take a place, a reservation and the breaker's leave; or say why not."""
        if (refusal := self.unavailable()) is not None:
            return replace(refusal, attempts=attempt)
        told_to_wait = f"{self.name} asks to wait longer"
        if self._not_before >= deadline:
            return Unanswered(CallProblem.RATE_LIMITED, told_to_wait, attempt)
        if self._places.locked() and self.statistics.waiting >= self.settings.max_waiting:
            waiting = f"{self.statistics.waiting} requests wait for {self.name} already"
            return Unanswered(CallProblem.BUSY, waiting, attempt)
        if not await self._take_place(deadline):
            return Unanswered(
                CallProblem.LATE, f"no free place at {self.name} in time ({last})", attempt
            )
        if not await self._respect_rate_limit(deadline):
            return Unanswered(CallProblem.RATE_LIMITED, told_to_wait, attempt)
        left_s = deadline - self._clock()
        if 2 * left_s < min(deadline - began, self._typical_s):
            self._places.release()
            text = f"{left_s:.2f} s left, {self.name} takes about {self._typical_s:.2f} s"
            return Unanswered(CallProblem.LATE, text, attempt)
        if not self.breaker.admit(self._clock()):
            self._places.release()
            return self._open(attempt)
        if not self.budget.reserve(self._estimate(question), self._clock()):
            self._places.release()
            self.breaker.abandoned()
            return Unanswered(CallProblem.OVER_BUDGET, f"the hour's budget of {self.name}", attempt)
        return None

    async def _learns(self, question: Question, manners: Manners, failed: Failed) -> bool:
        """Whether the question can be put in another way, as the refusal (or another) taught."""
        if failed.refusal is None:
            return False
        if self.manners == manners:
            sent = await asyncio.to_thread(sent_by, question, self.settings, manners)
            feature = refused_feature(failed.refusal, sent.features)
            learned = None if feature is None else learn(sent, feature)
            if learned is None:
                return False
            if self.manners == manners:
                self.manners = learned
                said = "; ".join(learned.described())
                log.warning("%s %s (%s)", self.name, said, failed.refusal.message[:200])
        self.statistics.learned += 1
        return True

    async def _within(
        self,
        question: Question,
        manners: Manners,
        began: float,
        deadline: float,
        attempt: int,
        bill: CallBill,
    ) -> Reply | Unanswered | Failed:
        """One call, cancelled at the deadline; the breaker learns what it says of the endpoint."""
        given_s = deadline - self._clock()
        try:
            async with asyncio.timeout(given_s):
                outcome = await self._call(question, manners, attempt, bill)
        except TimeoutError:
            if 2 * given_s >= deadline - began:
                self.breaker.failed(self._clock())
            else:  # most of the time went by before the call: that is load, not the endpoint
                self.breaker.abandoned()
            text = f"{self.name} gave no answer in {given_s:.2f} s"
            return Unanswered(CallProblem.LATE, text, attempt)
        except asyncio.CancelledError:
            self.breaker.abandoned()
            raise
        if isinstance(outcome, Reply):
            self.breaker.succeeded()
            weight = 0.1 if self._typical_s else 1.0
            self._typical_s += weight * (outcome.latency_ms / 1000 - self._typical_s)
        elif outcome.blames_endpoint:
            self.breaker.failed(self._clock())
        else:
            self.breaker.abandoned()
        return outcome

    async def _call(
        self, question: Question, manners: Manners, attempt: int, bill: CallBill
    ) -> Reply | Failed:
        """One HTTP call in the place that was taken. Gives place and reservation back."""
        estimate = self._estimate(question)
        spent, answered = estimate, False
        began = self._clock()
        stats = self.statistics
        stats.calls += 1
        stats.in_flight += 1
        stats.in_flight_most = max(stats.in_flight_most, stats.in_flight)
        assert self._transport is not None
        try:
            said: dict[str, Attribute] = {
                "andon.endpoint": self.name,
                "andon.attempt": attempt,
                "gen_ai.request.model": self.settings.model,
            }
            with step("ask the language model", SpanKind.CLIENT, said):
                outcome = await self._transport.send(question, manners)
            if isinstance(outcome, Failed):
                spent = estimate if outcome.billed else Spending()
                if outcome.usage is not None:
                    spent = self._spending(*outcome.usage)
                limited = outcome.problem is CallProblem.RATE_LIMITED
                if limited and outcome.retry_after_s is not None:
                    again = self._clock() + outcome.retry_after_s
                    self._not_before = max(self._not_before, again)
                return outcome
            self._notice(outcome, manners)
            reply = self._reply(outcome, question, (self._clock() - began) * 1000, attempt)
            spent, answered = self._spending(reply.tokens_in, reply.tokens_out), True
            return reply
        finally:
            stats.in_flight -= 1
            self.budget.settle(estimate, spent, self._clock(), answered)
            bill.add(spent, answered)
            self._places.release()

    def _notice(self, completion: Completion, manners: Manners) -> None:
        """Say once that log-probabilities were asked for and not given."""
        asked = self.settings.logprobs and manners.logprobs
        if asked and completion.raw.text and completion.raw.tokens is None:
            if not self.statistics.without_logprobs:
                log.warning("%s gives no log-probabilities although they are asked for", self.name)
            self.statistics.without_logprobs += 1

    def _reply(
        self, completion: Completion, question: Question, latency_ms: float, attempt: int
    ) -> Reply:
        guess_in, guess_out = estimate_tokens(question, self.settings)
        if completion.tokens_in is not None:  # pictures are counted by rules of each model's own
            self._dearer = max(1.0, completion.tokens_in / guess_in)
        tokens_in = round(guess_in * self._dearer)
        tokens_in = tokens_in if completion.tokens_in is None else completion.tokens_in
        tokens_out = guess_out if completion.tokens_out is None else completion.tokens_out
        cost = self.settings.prices.cost(tokens_in, tokens_out)
        model = completion.model or self.settings.model
        return Reply(completion.raw, model, tokens_in, tokens_out, cost, latency_ms, attempt)

    async def _respect_rate_limit(self, deadline: float) -> bool:
        """Wait until the endpoint takes calls again; when that is after the deadline it is False,
        and the place is given back.

        It is asked with the place in hand: whoever waited for one may have been told meanwhile.
        """
        try:
            while (pause := self._not_before - self._clock()) > 0:
                if self._not_before >= deadline:
                    self._places.release()
                    return False
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            self._places.release()
            raise
        return True

    async def _take_place(self, deadline: float) -> bool:
        self.statistics.waiting += 1
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                return await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self.statistics.waiting -= 1

    def _tell_failed(self, failed: Failed) -> None:
        """One line in the log for each kind of failure, however many parts wait for an answer."""
        self._last_failure = failed.message
        status = failed.refusal.status if failed.refusal is not None else 0
        if self._outage.failed(f"{failed.problem.value} {status}") is not None:
            log.error("%s does not answer: %s", self.name, failed.message)

    def _tell_back(self, outcome: Reply | Unanswered) -> None:
        if isinstance(outcome, Unanswered):
            if self._outage.failed(outcome.problem.value) is not None:
                log.error("%s does not answer: %s", self.name, outcome.message)
        elif (told := self._outage.ended()) is not None:
            words = (self.name, told.seconds, told.failures)
            log.warning("%s answers again, after %.1f s and %d failures", *words)

    def _open(self, attempt: int) -> Unanswered:
        wait_s = self.breaker.wait_s(self._clock())
        last = f" ({self._last_failure[:250]})" if self._last_failure else ""
        text = f"{self.name} failed repeatedly{last}; asked again in {wait_s:.1f} s"
        return Unanswered(CallProblem.BREAKER_OPEN, text, attempt)

    def _estimate(self, question: Question) -> Spending:
        tokens_in, tokens_out = estimate_tokens(question, self.settings)
        return self._spending(round(tokens_in * self._dearer), tokens_out)

    def _spending(self, tokens_in: int, tokens_out: int) -> Spending:
        return Spending(tokens_in + tokens_out, self.settings.prices.cost(tokens_in, tokens_out))
