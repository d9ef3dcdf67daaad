"""How long a call may hold its place, and the audit sample."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codes import ReasonCode
from streams.ids import new_frame_id
from streams.ports import Failure
from streams.roles.calls import Calls, FallbackDue, call_timeout_s
from streams.roles.config import FlowConfig
from streams.roles.inspected import sampled
from streams.roles.queues import MOST_QUEUE_S, ToldQueues
from tests.waiting import until


@pytest.mark.parametrize(
    ("dues", "expected"),
    [([100.4], 1.0), ([102.0, 100.1], 2.0), ([200.0], 5.0), ([50.0], 1.0), ([], 1.0)],
)
def test_a_call_may_take_until_its_last_fallback(dues: list[float], expected: float) -> None:
    assert call_timeout_s(dues, 100.0, longest_s=5.0, least_s=1.0) == pytest.approx(expected)


def test_the_sample_is_a_share_and_repeats() -> None:
    frames = [new_frame_id() for _ in range(4000)]
    chosen = [f for f in frames if sampled(f, 0.25)]
    assert 850 < len(chosen) < 1150
    assert chosen == [f for f in frames if sampled(f, 0.25)]


@given(st.uuids())
def test_the_sample_has_sound_ends(frame: UUID) -> None:
    assert not sampled(frame, 0.0)
    assert sampled(frame, 1.0)


async def answered(calls: Calls[str, str], what: str) -> None:
    """Ask, with a minute to answer, until nothing more comes."""
    async with aclosing(calls.ask(what, time.monotonic() + 60.0, 1)) as steps:
        async for _ in steps:
            pass


async def steps_of(
    call: Callable[[Sequence[str], float], Awaitable[Sequence[str | Failure]]], **flow: float
) -> list[Failure]:
    """What falls back of two questions at once, where one call is made at a time."""
    calls: Calls[str, str] = Calls(
        call, FlowConfig(concurrency=1, **flow), ReasonCode.EXPERT_UNAVAILABLE
    )

    async def ask(what: str) -> Failure:
        async with aclosing(calls.ask(what, time.monotonic() + 0.2, 1)) as steps:
            async for step in steps:
                assert isinstance(step, FallbackDue)
                return step.failure
        raise AssertionError("no step")

    found = await asyncio.gather(ask("first"), ask("second"))
    await calls.close()
    return found


@pytest.mark.asyncio
async def test_what_is_late_says_whether_it_was_asked_at_all() -> None:
    async def hangs(_: Sequence[str], __: float) -> Sequence[str | Failure]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    asked, waiting = await steps_of(hangs)
    assert asked.reason_code is waiting.reason_code is ReasonCode.LATE
    assert asked.message.startswith("it was asked ")
    assert waiting.message.endswith("whose calls were all under way")


@pytest.mark.asyncio
async def test_what_failed_before_it_was_asked_again_is_the_cause() -> None:
    answered: list[str] = []

    async def fails_once(asked: Sequence[str], _: float) -> Sequence[str | Failure]:
        if len(answered) < 2:
            answered.extend(asked)
            down = Failure(ReasonCode.EXPERT_UNAVAILABLE, "Died", "the replica died", True)
            return [down] * len(asked)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    first, _ = await steps_of(fails_once, retry_s=0.001)
    assert first.reason_code is ReasonCode.EXPERT_UNAVAILABLE
    assert first.message == "the replica died; asked again, without an answer in time"


@pytest.mark.asyncio
async def test_an_idle_expert_is_asked_at_once_and_a_busy_one_by_full_calls() -> None:
    asked: list[list[str]] = []
    begun, answer = asyncio.Event(), asyncio.Event()

    async def call(items: Sequence[str], _: float) -> Sequence[str | Failure]:
        asked.append(list(items))
        begun.set()
        await answer.wait()
        return list(items)

    flow = FlowConfig(concurrency=8, batch=3, batch_wait_s=60.0)
    calls: Calls[str, str] = Calls(call, flow, ReasonCode.EXPERT_UNAVAILABLE, batch=3)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for what in ("first", "second", "third"):
            group.create_task(answered(calls, what))
            await asyncio.sleep(0)
        await begun.wait()
        assert asked == [["first"]]
        answer.set()
    await calls.close()
    assert asked == [["first"], ["second", "third"]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("queued_s", "together"), [(30.0, [["c", "d", "e"]]), (0.0, [["c"], ["d"], ["e"]])]
)
async def test_what_would_wait_in_the_replicas_queue_waits_for_a_fuller_call(
    monkeypatch: pytest.MonkeyPatch, queued_s: float, together: list[list[str]]
) -> None:
    """The answer to ``a`` tells of the queue, ``b`` keeps the expert busy, others come."""
    monkeypatch.setattr("streams.roles.queues.MOST_QUEUE_S", 60.0)
    asked: list[list[str]] = []
    answer = asyncio.Event()

    async def call(items: Sequence[str], _: float) -> Sequence[str | Failure]:
        asked.append(list(items))
        if items[0] != "a":
            await answer.wait()
        return list(items)

    flow = FlowConfig(concurrency=64, batch=3, batch_wait_s=0.0)
    queues: ToldQueues[str, str] = ToldQueues(lambda _: "tile", lambda _: queued_s)
    unavailable = ReasonCode.EXPERT_UNAVAILABLE
    calls: Calls[str, str] = Calls(call, flow, unavailable, batch=3, queues=queues)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await answered(calls, "a")
        for what in ("b", "c", "d", "e"):
            group.create_task(answered(calls, what))
        await until(lambda: [one for call in asked for one in call] == ["a", "b", "c", "d", "e"])
        answer.set()
    await calls.close()
    assert asked == [["a"], ["b"], *together]


@pytest.mark.asyncio
async def test_nobody_waits_for_company_longer_than_the_bound() -> None:
    """However long the replica says that its queue is."""
    asked: list[list[str]] = []
    answer = asyncio.Event()

    async def call(items: Sequence[str], _: float) -> Sequence[str | Failure]:
        asked.append(list(items))
        if items == ["b"]:
            await answer.wait()
        return list(items)

    queues: ToldQueues[str, str] = ToldQueues(lambda _: "tile", lambda _: 3600.0)
    unavailable = ReasonCode.EXPERT_UNAVAILABLE
    calls: Calls[str, str] = Calls(call, FlowConfig(), unavailable, batch=8, queues=queues)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await answered(calls, "a")
        busy = group.create_task(answered(calls, "b"))
        await until(lambda: ["b"] in asked)
        await answered(calls, "c")
        assert not busy.done()
        answer.set()
    await calls.close()
    assert asked == [["a"], ["b"], ["c"]]


def test_a_product_whose_replica_is_idle_waits_for_nobody() -> None:
    queues: ToldQueues[str, float] = ToldQueues(lambda request: request, lambda waited: waited)
    assert queues.wait_s(["tile"]) == 0.0
    queues.answered([("tile", 0.04), ("tile", 0.07), ("bolt", 0.0)])
    assert queues.wait_s(["tile", "tile"]) == pytest.approx(0.08)
    assert queues.wait_s(["tile", "bolt"]) == 0.0
    queues.answered([("tile", 30.0)])
    assert queues.wait_s(["tile"]) == MOST_QUEUE_S
    queues.answered([("tile", Failure(ReasonCode.EXPERT_UNAVAILABLE, "Died", "it died"))])
    assert queues.wait_s(["tile"]) == 0.0
