"""Ask until the fallback is due, and go on asking for a while after it."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Generic, TypeVar

from streams.backoff import backoff_s
from streams.codes import ReasonCode
from streams.ports import Failure
from streams.roles.batcher import Answered, Batcher
from streams.roles.config import FlowConfig
from streams.roles.deadlines import remaining_s

Request = TypeVar("Request")
Answer = TypeVar("Answer")


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
    """What came after the fallback; a ``Failure`` when nothing did within the grace."""

    answered: Answered[Answer]


async def ask(
    batcher: Batcher[Request, Answer], request: Request, due_s: float, size: int, flow: FlowConfig
) -> AsyncGenerator[InTime[Answer] | FallbackDue | Late[Answer], None]:
    """``InTime``, or ``FallbackDue`` at ``due_s`` and then ``Late``.

    A retryable failure is asked again, at growing intervals, up to ``late_grace_s`` after
    ``due_s``. The wait for the fallback is this coroutine's own timer: no queue delays it.
    """
    give_up_s = max(due_s, time.time()) + flow.late_grace_s
    decided = False
    for attempt in itertools.count():
        future = batcher.submit(request, due_s, size)
        if not decided:
            await asyncio.wait({future}, timeout=remaining_s(due_s, time.time()))
            if not future.done():
                decided = True
                yield FallbackDue(_not_in_time())
        answered = await future
        failure = answered.answer
        if not isinstance(failure, Failure) or not failure.retryable:
            yield Late(answered) if decided else InTime(answered)
            return
        wake_s = time.time() + backoff_s(attempt, flow.retry_s, flow.retry_cap_s)
        if not decided and wake_s >= due_s:
            await asyncio.sleep(remaining_s(due_s, time.time()))
            decided = True
            yield FallbackDue(failure)
        if wake_s >= give_up_s:
            yield Late(answered)
            return
        await asyncio.sleep(remaining_s(wake_s, time.time()))


def _not_in_time() -> Failure:
    return Failure(ReasonCode.LATE, "Late", "no answer before the fallback was due")
