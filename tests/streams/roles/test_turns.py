"""Lines take turns, the most urgent part of a line first, and nothing is lost or doubled."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codes import ReasonCode
from streams.roles.calls import Calls, InTime
from streams.roles.config import FlowConfig
from streams.roles.turns import Turns

LINES = st.sampled_from(["L1", "L2", "L3"])
DUES = st.integers(0, 20)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), LINES, DUES),
        st.tuples(st.just("pop"), st.just(""), st.just(0)),
        st.tuples(st.just("expire"), st.just(""), DUES),
    ),
    max_size=80,
)


@given(STEPS)
def test_what_goes_in_comes_out_once_and_the_most_urgent_of_its_line_first(
    steps: list[tuple[str, str, int]],
) -> None:
    turns, waiting = Turns[tuple[str, int, int]](), set[tuple[str, int, int]]()
    for number, (what, line, due_s) in enumerate(steps):
        if what == "push":
            turns.push(line, due_s, (line, due_s, number))
            waiting.add((line, due_s, number))
        elif what == "pop" and waiting:
            taken = turns.pop()
            assert taken == min(one for one in waiting if one[0] == taken[0])
            waiting.remove(taken)
        elif what == "expire":
            gone = turns.expired(due_s)
            assert [one[1:] for one in gone] == sorted(one[1:] for one in gone)
            assert set(gone) == {one for one in waiting if one[1] <= due_s}
            waiting.difference_update(gone)
        assert len(turns) == len(waiting)
        assert set(turns) == waiting
        assert turns.next_due_s == min((one[1] for one in waiting), default=float("inf"))
    assert set(turns.clear()) == waiting
    assert not turns
    with pytest.raises(IndexError):
        turns.pop()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(0, 30))
def test_a_line_waits_for_one_part_of_each_other_line_at_most(
    backlogs: list[int], taken: int
) -> None:
    turns = Turns[str]()
    for line, backlog in enumerate(backlogs):
        for number in range(backlog):
            turns.push(f"burst {line}", number, f"burst {line}")
    for _ in range(min(taken, sum(backlogs) - 1)):
        turns.pop()
    turns.push("calm", 1000.0, "calm")
    before = [turns.pop() for _ in range(len(turns))].index("calm")
    assert before <= len(backlogs)


def test_a_line_whose_parts_come_one_by_one_gets_no_more_turns_than_the_others() -> None:
    turns = Turns[str]()
    for number in range(3):
        turns.push("waits", 100.0 + number, "waits")
    turns.push("returns", 0.0, "returns")
    order = []
    for _ in range(6):
        order.append(turns.pop())
        if order[-1] == "returns":
            turns.push("returns", 0.0, "returns")
    assert order == ["returns", "waits", "returns", "waits", "returns", "waits"]


@pytest.mark.asyncio
async def test_one_lines_burst_waits_behind_itself_and_not_before_the_others() -> None:
    asked: list[str] = []
    goes_on = asyncio.Event()

    async def expert(requests: Sequence[str], timeout_s: float) -> Sequence[str]:
        await goes_on.wait()
        asked.extend(requests)
        return requests

    flow = FlowConfig(concurrency=1, batch_wait_s=0.0)
    calls: Calls[str, str] = Calls(expert, flow, ReasonCode.EXPERT_UNAVAILABLE)
    now_s = time.monotonic()

    async def ask(what: str, line: str, due_s: float) -> None:
        async with aclosing(calls.ask(what, due_s, 1, line)) as steps:
            async for step in steps:
                assert isinstance(step, InTime)

    burst = [asyncio.create_task(ask(f"burst {n}", "L1", now_s + 60 + n)) for n in range(10)]
    await asyncio.sleep(0)
    others = [asyncio.create_task(ask(f"line {n}", f"L{n}", now_s + 90)) for n in (2, 3)]
    await asyncio.sleep(0)
    goes_on.set()
    await asyncio.gather(*burst, *others)
    assert sorted(asked[2:4]) == ["line 2", "line 3"], (
        "one of the burst is under way, one has its turn"
    )
    assert [what for what in asked if what.startswith("burst")] == [f"burst {n}" for n in range(10)]
    await calls.close()
