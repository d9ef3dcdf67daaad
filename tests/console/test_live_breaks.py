"""A browser that comes back is given all that it missed, from memory or from Kafka, or is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from console.app import build_app
from console.feed import line_state, live_feed
from console.feed.live_feed import LiveFeed
from console.feed.positions import read_positions, write_positions
from console.pages import live_fragments
from history.plant_times import PlantTimes
from streams.errors import UnavailableError
from streams.topics import ACKS, ALERTS, DECISIONS
from tests.console.make import GivenRecords, client_of, parts_of
from tests.console.streams import changed, followed, listening, record
from tests.history import make

pytestmark = pytest.mark.asyncio
LIVE = "/live/events"


class Line:
    """A console, and a line whose every part is decided and then acknowledged."""

    def __init__(self) -> None:
        self.records = GivenRecords()
        self.feed = LiveFeed(self.records, PlantTimes().shift_at, lambda: make.START)
        self.app: FastAPI = build_app(parts_of(feed=self.feed))

    async def make(self, first: int, count: int) -> None:
        """So many parts more, with offsets as their numbers."""
        before = self.feed.changes
        for number in range(first, first + count):
            decision = make.decision(number)
            self.records.give(record(decision, number))
            self.records.give(record(make.acknowledgement(decision), number))
        await changed(self.feed, before, 2 * count)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of twenty parts, and Kafka read again from as many decisions before."""
    for module in (line_state, live_feed):
        monkeypatch.setattr(module, "PARTS", 20)


@asynccontextmanager
async def running() -> AsyncIterator[Line]:
    line = Line()
    async with followed(line.feed):
        yield line


def word(decisions: int, acks: int) -> str:
    return write_positions({(DECISIONS.name, 0): decisions, (ACKS.name, 0): acks})


async def all_of(events: AsyncIterator[dict[str, Any]], last: int) -> list[dict[str, Any]]:
    """The events up to the one whose id says that so many decisions and answers are read."""
    found = []
    async for event in events:
        found.append(event)
        at = read_positions(event["id"])
        if at.get((DECISIONS.name, 0)) == at.get((ACKS.name, 0)) == last:
            return found
    raise AssertionError("the stream ended")


def told(events: list[dict[str, Any]]) -> set[UUID]:
    """Parts that were shown with what the controller said of them."""
    rows = [row for event in events for row in event["data"]["parts"]]
    return {UUID(row["id"]) for row in rows if 'class="plc acknowledged' in row["html"]}


def parts(first: int, last: int) -> set[UUID]:
    return {make.frame_id(number) for number in range(first, last)}


async def test_all_that_is_remembered_comes_however_many_a_page_shows() -> None:
    count = 3 * live_fragments.SHOWN
    async with running() as line:
        await line.make(0, count)
        async with listening(line.app, LIVE, word(2, 1)) as events:
            (event,) = await all_of(events, count)
        async with listening(line.app, LIVE) as events:
            new = await anext(events)
    assert told([event]) == parts(1, count)
    assert "missed" not in event["data"]
    assert told([new]) == parts(count - live_fragments.SHOWN, count), "who is new misses nothing"


@pytest.mark.usefixtures("forgetful")
async def test_what_is_not_remembered_comes_from_kafka() -> None:
    async with running() as line:
        await line.make(0, 200)
        async with listening(line.app, LIVE, word(100, 97)) as events:
            found = await all_of(events, 200)
            assert told(found) == parts(97, 200), "three answers were missed of parts known before"
            assert {event["data"]["missed"]["whole"] for event in found} == {True}
            await line.make(200, 1)
            assert told(await all_of(events, 201)) == parts(200, 201)


@pytest.mark.usefixtures("forgetful")
async def test_a_break_while_kafka_is_read_again_costs_nothing() -> None:
    async with running() as line:
        await line.make(0, 100)
        async with listening(line.app, LIVE, word(10, 10)) as events:
            before = [await anext(events) for _ in range(30)]
        async with listening(line.app, LIVE, before[-1]["id"]) as events:
            after = await all_of(events, 100)
    assert told(before) | told(after) == parts(10, 100)
    shown = [(row["id"], row["html"]) for e in before + after for row in e["data"]["parts"]]
    assert len(shown) == len(set(shown)), "nothing came twice"


@pytest.mark.usefixtures("forgetful")
async def test_what_kafka_keeps_no_more_is_said() -> None:
    async with running() as line:
        await line.make(0, 100)
        line.records.kept = [one for one in line.records.kept if one.offset >= 50]
        async with listening(line.app, LIVE, word(10, 10)) as events:
            found = await all_of(events, 100)
    assert told(found) == parts(50, 100)
    assert found[-1]["data"]["missed"]["whole"] is False


@pytest.mark.usefixtures("forgetful")
async def test_a_browser_too_slow_for_memory_is_given_all_the_same() -> None:
    async with running() as line, listening(line.app, LIVE) as events:
        await line.make(0, 1)
        await all_of(events, 1)
        await line.make(1, 90)
        assert told(await all_of(events, 91)) == parts(1, 91)


async def test_too_many_for_one_message_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_fragments, "MOST_AT_ONCE", 10)
    async with running() as line:
        await line.make(0, 40)
        async with listening(line.app, LIVE, word(5, 5)) as events:
            assert told(await all_of(events, 40)) == parts(5, 40)


@pytest.mark.usefixtures("forgetful")
async def test_where_kafka_cannot_be_read_again_the_browser_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object) -> AsyncIterator[list[object]]:
        raise UnavailableError("no broker")
        yield []

    async with running() as line:
        await line.make(0, 60)
        monkeypatch.setattr(line.records, "between", refuse)
        async with listening(line.app, LIVE, word(5, 5)) as events:
            event = await anext(events)
    assert (event["id"], event["data"]["parts"]) == (word(5, 5), [])


async def test_a_topic_in_which_nothing_came_since_a_restart_is_no_lost_log() -> None:
    async with running() as line:
        line.records.began = {(ALERTS.name, 0): 7, (DECISIONS.name, 0): 0, (ACKS.name, 0): 0}
        await line.make(0, 2)
        last = f"{word(1, 1)}.l0-7"
        async with listening(line.app, LIVE, last) as events:
            event = await anext(events)
            assert (event["event"], told([event])) == ("line", parts(1, 2))
        assert line.feed.word == "a0-2.d0-2.l0-7"


async def test_while_the_console_catches_up_nobody_is_given_half_of_it() -> None:
    async with running() as line:
        line.records.caught_up.clear()
        await line.make(0, 30)
        async with listening(line.app, LIVE, word(10, 10)) as events:
            first = await anext(events)
            assert (first["data"], first["id"]) == (
                {"parts": [], "lines": [], "fresh": False},
                word(10, 10),
            )
            async with client_of(line.app) as client:
                assert 'data-since=""' in (await client.get("/live")).text
            await asyncio.sleep(0)
            line.records.caught_up.set()
            line.records.give()
            assert told(await all_of(events, 30)) == parts(10, 30)
