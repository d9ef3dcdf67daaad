"""The live page and its stream: what comes, what was missed in a break, and hostile texts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from console.app import build_app
from console.feed.acknowledged import ACTION
from console.feed.live_feed import LiveFeed
from console.feed.positions import read_positions
from console.pages import live
from history.console_audit import Deed
from history.plant_times import PlantTimes
from streams.codes import Action, DecisionSource
from streams.events import Alert, Decision
from streams.kafka.delivery import Delivery
from streams.topics import DECISIONS
from tests.console.make import BASE, GivenRecords, client_of, parts_of
from tests.console.streams import changed, followed, listening, record
from tests.history import make

pytestmark = pytest.mark.asyncio
LIVE = "/live/events"


def scrapped(number: int, **change: Any) -> Decision:
    fields = {"inspection": make.inspection(), **change}
    return make.decision(number, DecisionSource.CLASSIFIER, Action.SCRAP, "crack", **fields)


def stop_request() -> Alert:
    return Alert(
        alert_id=uuid4(),
        line="line-1",
        product_id="tile",
        limit="scrap",
        reason="9 of 50 parts",
        request_stop=True,
        raised_at=datetime.now(UTC),
    )


class Deeds:
    """An audit that remembers."""

    def __init__(self) -> None:
        self.written: list[Deed] = []

    async def append(self, deed: Deed) -> None:
        self.written.append(deed)

    async def of_action(self, action: str, since: datetime) -> list[Deed]:
        return [deed for deed in self.written if deed.action == action]

    async def close(self) -> None: ...


class World:
    """A console with records to give, and its pages."""

    def __init__(self) -> None:
        self.records = GivenRecords()
        self.now = make.START
        self.feed = LiveFeed(self.records, PlantTimes().shift_at, lambda: self.now)
        self.deeds = Deeds()
        self.app = build_app(parts_of(feed=self.feed, audit=self.deeds))

    async def give(self, *deliveries: Delivery) -> None:
        before = self.feed.changes
        self.records.give(*deliveries)
        await changed(self.feed, before)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with followed(world.feed):
        yield world


def ids(event: dict[str, Any]) -> list[UUID]:
    return [UUID(part["id"]) for part in event["data"]["parts"]]


async def test_what_comes_is_sent_and_after_a_break_only_what_was_missed() -> None:
    async with running() as world:
        await world.give(record(scrapped(0), 0), record(scrapped(1), 1))
        async with listening(world.app, LIVE) as events:
            first = await anext(events)
            assert ids(first) == [make.frame_id(0), make.frame_id(1)]
            await world.give(record(scrapped(2), 2))
            second = await anext(events)
            assert ids(second) == [make.frame_id(2)]
            assert read_positions(second["id"]) == {(DECISIONS.name, 0): 3}
        await world.give(record(scrapped(3), 3))
        async with listening(world.app, LIVE, second["id"]) as events:
            assert ids(await anext(events)) == [make.frame_id(3)]


async def test_a_console_that_was_started_again_gives_only_what_was_missed() -> None:
    async with running() as again:
        await again.give(*(record(scrapped(n), n) for n in range(3)))
        async with listening(again.app, LIVE, "d0-2") as events:
            assert ids(await anext(events)) == [make.frame_id(2)]


async def test_a_browser_ahead_of_the_broker_begins_again() -> None:
    async with running() as world:
        await world.give(record(scrapped(0), 0))
        async with listening(world.app, LIVE, "d0-900") as events:
            assert (await anext(events))["event"] == "begin-again"


async def test_a_browser_is_told_when_kafka_is_not_heard() -> None:
    async with running() as world:
        world.records.caught_up.clear()
        async with listening(world.app, LIVE) as events:
            assert (await anext(events))["data"]["fresh"] is False
        async with client_of(world.app) as client:
            assert 'data-fresh="no"' in (await client.get("/live")).text


async def test_a_shift_that_begins_while_the_line_stands_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "BEAT_S", 0.1)
    async with running() as world:
        await world.give(record(scrapped(0), 0))
        async with listening(world.app, LIVE) as events:
            assert "<b>1</b>" in (await anext(events))["data"]["lines"][0]["head"]
            world.now += timedelta(days=1)
            while not (told := (await anext(events))["data"])["lines"]:
                pass
        assert told["parts"] == []
        assert '<li class="total"><b>0</b>' in told["lines"][0]["head"]


async def test_the_page_shows_part_picture_outline_and_reason() -> None:
    async with running() as world:
        await world.give(
            record(make.decision(0), 0), record(scrapped(1), 1), record(make.decision(2), 2)
        )
        async with client_of(world.app, headers={"Accept-Language": "de"}) as client:
            page = (await client.get("/live")).text
            part = await client.get(f"/live/parts/{make.frame_id(1)}")
            nobody = await client.get(f"/live/parts/{make.frame_id(9)}")
            found = await client.get("/find", params={"serial": " P0000001 "})
            nothing = await client.get("/find", params={"serial": " "})
    assert page.index("P0000002") > page.index("P0000001"), "the stopped part is the large one"
    assert f'src="/pictures/{make.frame_id(1)}/large"' in page
    assert '<path d="M' in part.text
    assert "Ausschuss" in page
    assert "die Klasse entscheidet" in page
    assert nobody.status_code == 404
    assert found.headers["location"] == f"/parts/{make.frame_id(1)}"
    assert nothing.headers["location"] == "/history", "a part without a serial is not meant"


async def test_a_part_without_a_serial_leads_to_its_story_too() -> None:
    async with running() as world:
        await world.give(record(scrapped(1, part_id=""), 0))
        async with client_of(world.app) as client:
            page = (await client.get("/live")).text
    link = f'href="/parts/{make.frame_id(1)}">{str(make.frame_id(1))[:12]}</a>'
    assert page.count(link) == 2, "in its row, and beside its picture"


async def test_texts_of_the_line_are_texts() -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    fields = {"line": evil, "part_id": evil, "class_name": evil, "reason": evil, "product_id": evil}
    async with running() as world:
        await world.give(record(make.decision(1, action=Action.SCRAP, **fields), 0))
        async with client_of(world.app) as client:
            page = (await client.get("/live")).text
        async with listening(world.app, LIVE) as events:
            told = await anext(events)
    pieces = [page, *(p["html"] for p in told["data"]["parts"])]
    pieces += [line[name] for line in told["data"]["lines"] for name in ("head", "focus")]
    assert all("<img src=x" not in piece for piece in pieces)
    assert all("&lt;img src=x" in piece for piece in pieces)


async def test_a_message_that_cannot_be_read_does_not_end_the_feed() -> None:
    async with running() as world:
        broken = Delivery(DECISIONS.name, 0, 0, b"", b"\xff", [])
        await world.give(broken, record(scrapped(1), 1))
        assert world.feed.state.line_names() == ["line-1"]
        assert world.feed.word == "d0-2"


async def test_the_newest_request_of_a_limit_stands_for_those_before() -> None:
    first, second = stop_request(), stop_request()
    async with running() as world:
        await world.give(record(scrapped(0), 0), record(first, 0), record(second, 1))
        async with client_of(world.app, "operator", headers={"Origin": BASE}) as client:
            page = (await client.get("/live")).text
            assert page.count('action="/live/alerts/') == 1
            assert str(second.alert_id) in page
            await client.post(f"/live/alerts/{second.alert_id}")
            assert 'action="/live/alerts/' not in (await client.get("/live")).text
    written = {deed.object for deed in world.deeds.written}
    assert written == {str(first.alert_id), str(second.alert_id)}


async def test_a_request_to_stop_is_acknowledged_once_and_written_down() -> None:
    alert = stop_request()
    async with running() as world:
        await world.give(record(scrapped(0), 0), record(alert, 0))
        headers = {"Origin": BASE}
        async with client_of(world.app, "operator", headers=headers) as client:
            assert "asked to stop" in (await client.get("/live")).text
            for _ in range(2):
                done = await client.post(f"/live/alerts/{alert.alert_id}")
                assert (done.status_code, done.headers["location"]) == (303, "/live")
            assert (await client.post(f"/live/alerts/{uuid4()}")).status_code == 404
            page = (await client.get("/live")).text
    assert 'role="alert">\n<span class="sign"' not in page
    assert "a operator looks after" in page
    assert [(d.action, d.object) for d in world.deeds.written] == [(ACTION, str(alert.alert_id))]
