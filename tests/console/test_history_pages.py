"""A part's story, the search and the Pareto over the real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.app import build_app
from console.feed.live_feed import LiveFeed
from console.frame_query import read_asked
from console.pages import search
from history.errors import BadQueryError
from history.plant_times import PlantTimes
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import AckOutcome, Action, DecisionSource
from streams.errors import UnavailableError
from streams.events import Acknowledgement
from tests.console.make import GivenRecords, client_of, parts_of
from tests.history import make
from tests.history.conftest import history as history
from tests.history.conftest import template as template
from tests.history.conftest import url as url
from tests.history.conftest import writer as writer

pytestmark = pytest.mark.asyncio
EVIL = "<script>alert(1)</script>"


def scrapped(number: int, **change: Any) -> Any:
    fields = {"inspection": make.inspection(), "classification": make.classification(), **change}
    name = fields.pop("class_name", "crack")
    return make.decision(number, DecisionSource.CLASSIFIER, Action.SCRAP, name, **fields)


@pytest_asyncio.fixture
async def client(
    writer: PostgresHistoryWriter, history: History
) -> AsyncIterator[httpx.AsyncClient]:
    late = make.decision(1, DecisionSource.WATCHDOG, Action.HOLD, is_late=True)
    await writer.add_decisions([scrapped(1), late, *(make.decision(n) for n in range(2, 6))])
    await writer.add_decisions([scrapped(9, class_name=EVIL, reason=EVIL, part_id=EVIL)])
    await writer.add_anomalies([make.anomaly(1)])
    at = make.captured(1)
    told = Acknowledgement(
        **make.part(1),
        result_id=scrapped(1).result_id,
        source=DecisionSource.CLASSIFIER,
        action=Action.SCRAP,
        outcome=AckOutcome.ACKNOWLEDGED,
        written_at=at + timedelta(milliseconds=400),
        acknowledged_at=at + timedelta(milliseconds=415),
        trigger_to_write_ms=400.0,
    )
    await writer.add_acknowledgements([told])
    async with client_of(build_app(parts_of(history=history))) as made:
        yield made


async def test_a_story_has_every_decision_and_what_the_plc_did(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/parts/{make.frame_id(1)}")).text
    for words in ("P0000001", "class:crack", "too late, never acted on", "+400 ms", "+415 ms"):
        assert words in page
    assert page.index("Written to the PLC") < page.index("The PLC answered")
    assert f'src="/pictures/{make.frame_id(1)}/large"' in page
    assert '<path d="M' in page
    passed = (await client.get(f"/parts/{make.frame_id(2)}")).text
    assert "no picture is kept" in passed
    assert (await client.get(f"/parts/{make.frame_id(99)}")).status_code == 404


async def test_texts_of_the_history_are_texts(client: httpx.AsyncClient) -> None:
    pages = (f"/parts/{make.frame_id(9)}", "/history", "/history?view=list", "/pareto?since=")
    for path in pages:
        text = (await client.get(path)).text
        assert EVIL not in text, path
        assert "&lt;script&gt;" in text, path


async def test_search_shows_what_was_stopped_and_all_when_asked(client: httpx.AsyncClient) -> None:
    stopped = (await client.get("/history")).text
    assert "P0000001" in stopped
    assert "P0000002" not in stopped
    everything = (await client.get("/history?passed=any&view=list")).text
    assert all(f"P000000{n}" in everything for n in range(1, 6))
    some = (await client.get("/history?passed=any&class=crack&part=&lot=")).text
    assert "P0000001" in some
    assert "P0000002" not in some
    nothing = await client.get("/history?part=nobody")
    assert "No part fits." in nothing.text
    page = {"Accept": "text/html"}
    for query in ("action=melt", "since=yesterday", "passed=maybe", "cursor=x"):
        assert (await client.get(f"/history?{query}", headers=page)).status_code == 422


async def test_older_parts_are_a_link_and_a_piece(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "AT_ONCE", 2)
    first = (await client.get("/history?passed=any&line=line-1")).text
    more = first.partition('<a class="main" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "cursor=" in more
    assert "line=line-1" in more
    assert "passed=any" in more
    piece = (await client.get(more, headers={"HX-Request": "true"})).text
    assert "<html" not in piece
    assert "P0000004" in piece


async def test_pareto_counts_what_was_stopped(client: httpx.AsyncClient) -> None:
    page = (await client.get("/pareto?since=&part=P0000001")).text
    assert "class=crack" in page
    assert "100.0 %" in page
    assert "class:crack" in page
    by_rule = await client.get("/pareto?by=source&since=")
    assert "source=classifier" in by_rule.text
    assert (await client.get("/pareto?by=mood")).status_code == 422


async def test_a_part_without_a_serial_has_a_name_to_click_and_says_what_is_kept_of_it(
    writer: PostgresHistoryWriter, history: History
) -> None:
    missed = make.decision(2, DecisionSource.WATCHDOG, Action.HOLD, part_id="")
    await writer.add_decisions([missed])
    name = str(make.frame_id(2))
    async with client_of(build_app(parts_of(history=history))) as client:
        rows = (await client.get("/history?view=list&since=")).text
        tiles = (await client.get("/history?since=")).text
        page = (await client.get(f"/parts/{name}")).text
    assert f'href="/parts/{name}">{name[:12]}</a>' in rows
    assert f'<span class="mono">{name[:12]}</span>' in tiles
    assert f'<h1 class="serial">{name}</h1>' in page
    assert "No picture of this part is kept." in page
    assert "that passes" not in page


async def test_days_of_the_pareto_are_the_plants_and_every_name_leads_to_its_parts(
    writer: PostgresHistoryWriter, history: History
) -> None:
    evening = datetime(2026, 11, 1, 23, 30, tzinfo=UTC)  # the second of November in Berlin
    await writer.add_decisions([scrapped(1), scrapped(2, captured_at=evening)])
    plant = PlantTimes(time_zone="Europe/Berlin")
    async with client_of(build_app(parts_of(history=history, plant=plant))) as client:
        page = (await client.get("/pareto?since=")).text
        second = (await client.get("/pareto?since=2026-11-02&until=2026-11-03")).text
        by_expert = (await client.get("/pareto?since=&by=expert")).text
        by_policy = (await client.get("/pareto?since=&by=policy")).text
    assert page.index("2026-11-02") < page.index("2026-11-01")
    assert "Days of Europe/Berlin" in page
    assert "2026-11-02</th><td" in second
    assert "2026-11-01</th>" not in second
    decided = scrapped(1)
    assert f"version={decided.inspection.expert_version}" in by_expert
    assert f"policy={decided.policy_hash}" in by_policy


async def test_without_the_database_a_part_of_now_is_shown_on_the_live_page() -> None:
    class Away:
        async def show(self, _: object) -> None:
            raise UnavailableError("the database is away")

        async def close(self) -> None: ...

    parts = parts_of()
    feed = LiveFeed(GivenRecords(), parts.plant.shift_at)
    feed.state.take(scrapped(1), (("andon.decisions", 0), 0))
    async with client_of(build_app(parts_of(history=Away(), feed=feed))) as client:
        known = await client.get(f"/parts/{make.frame_id(1)}")
        assert known.headers["location"] == f"/live?part={make.frame_id(1)}"
        page = (await client.get(known.headers["location"])).text
        assert f'data-pinned="{make.frame_id(1)}"' in page
        assert (await client.get(f"/parts/{make.frame_id(2)}")).status_code == 503


async def test_a_filter_s_address_says_all_of_it() -> None:
    given = {"class": "crack", "since": "2026-11-29T06:00", "reviewed": "true", "other": "x"}
    asked = read_asked(given, PlantTimes(time_zone="Europe/Berlin"))
    assert asked.wanted.since is not None
    assert asked.wanted.since.hour == 5
    assert asked.wanted.reviewed is True
    again = dict(pair.split("=") for pair in asked.link("/history").partition("?")[2].split("&"))
    assert again.keys() == {"class", "since", "reviewed"}
    with pytest.raises(BadQueryError):
        read_asked({"passed": "1"}, PlantTimes())
