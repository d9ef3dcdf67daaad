"""The rates as a page with trends, as JSON and as CSV."""

import csv
import io
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from console.app import build_app
from history.plant_times import PlantTimes
from history.queries import History
from tests.console.make import client_of, parts_of
from tests.history.conftest import history as history
from tests.history.conftest import template as template
from tests.history.conftest import url as url
from tests.history.conftest import writer as writer
from tests.history.test_rates import SHIFTS
from tests.history.test_rates import filled as filled

pytestmark = pytest.mark.asyncio
PLANT = PlantTimes(time_zone="Europe/Berlin", shifts=SHIFTS)
PAGE = {"Accept": "text/html"}


@pytest_asyncio.fixture
async def client(history: History, filled: None) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(build_app(parts_of(history=history, plant=PLANT))) as made:
        yield made


async def test_the_page_has_a_table_by_name_and_trends(client: httpx.AsyncClient) -> None:
    page = (await client.get("/rates?since=&by=class&every=shift")).text
    for words in ("class=crack", "no class", "2026-11-03 early", "outside of shifts"):
        assert words in page, words
    assert page.count('class="band"') > 2
    assert page.count("<figure") == 3
    assert "/history?class=crack" in page.replace("passed=any&amp;", "")
    assert "since=2026-11-03T05%3A00Z&amp;until=2026-11-03T13%3A00Z" in page
    narrow = (await client.get("/rates?since=2026-11-03T12:00&every=day")).text
    assert (
        "/history?since=2026-11-03T12%3A00&amp;passed=any&amp;until=2026-11-03T23%3A00Z" in narrow
    )
    nothing = await client.get("/rates?product=nothing")
    assert "No part fits." in nothing.text
    for query in ("by=mood", "every=moon", "shift=late", "since=never"):
        answer = await client.get(f"/rates?{query}", headers=PAGE)
        assert answer.status_code == 422, query
    assert 'href="/rates?since=2d"' in (await client.get("/pareto?since=2d")).text


async def test_a_plant_without_shifts_is_asked_for_none(history: History) -> None:
    async with client_of(build_app(parts_of(history=history))) as client:
        page = (await client.get("/rates?since=")).text
        assert "by=shift" not in page
        assert "every=shift" not in page


async def test_programs_get_the_same(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/rates?by=lot&every=week&top=2")).json()
    assert (found["names"], [row["name"] for row in found["rows"]]) == (4, ["L3", "L2"])
    assert found["total"]["parts"] == 79
    share = found["total"]["false_alarms"]
    assert (share["count"], share["of"], share["rate"]) == (1, 2, 0.5)
    assert share["low"] < 0.5 < share["high"]
    assert [span["day"] for span in found["spans"]] == ["2026-11-02"]
    assert found["spans"][0]["since"] == "2026-11-01T23:00:00Z"
    night = (await client.get("/api/rates?shift=night")).json()
    assert night["total"]["parts"] < 79
    assert (await client.get("/api/frames?shift=night&limit=1000")).json()["frames"]
    for query in ("passed=true", "shift=noon", "by=mood", "top=0"):
        assert (await client.get(f"/api/rates?{query}")).status_code == 422, query


async def test_csv_holds_the_table_and_the_trend(client: httpx.AsyncClient) -> None:
    page = (await client.get("/rates?since=2026-11-01&by=line&every=day")).text
    links = [one.partition('"')[0] for one in page.split('href="/api/')[1:]]
    rows = []
    for link in links:
        answer = await client.get("/api/" + link.replace("&amp;", "&"))
        assert answer.headers["content-type"].startswith("text/csv"), answer.text
        rows.append(list(csv.DictReader(io.StringIO(answer.text))))
    assert [row["line"] for row in rows[0]] == ["line-0", "line-1"]
    assert [row["day"] for row in rows[1]] == ["2026-11-02", "2026-11-03"]
    assert sum(int(row["parts"]) for row in rows[1]) == 79
    assert 0 < float(rows[1][1]["first_pass_low"]) < float(rows[1][1]["first_pass_rate"]) < 1
