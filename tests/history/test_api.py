"""The HTTP API over the real database and both image stores' contract."""

from collections.abc import AsyncIterator

import cv2
import httpx
import numpy as np
import pytest
import pytest_asyncio

from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource
from streams.ids import image_key
from tests.console.make import app_of, client_of
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make


@pytest_asyncio.fixture
async def store() -> InMemoryImageStore:
    made = InMemoryImageStore()
    picture = cv2.imencode(".png", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    await made.put(image_key(make.frame_id(1)), picture, "text/html")
    await made.put(image_key(make.frame_id(2)), b"<script>alert(1)</script>", "text/html")
    return made


@pytest_asyncio.fixture
async def client(
    url: str, writer: PostgresHistoryWriter, store: InMemoryImageStore
) -> AsyncIterator[httpx.AsyncClient]:
    await writer.add_decisions(
        [
            make.decision(1, DecisionSource.CLASSIFIER, Action.SCRAP, "crack"),
            *(make.decision(n) for n in range(2, 6)),
        ]
    )
    await writer.add_anomalies([make.anomaly(1), make.anomaly(2)])
    history = History(url)
    async with client_of(app_of(history, store)) as made:
        yield made
    await history.close()


@pytest.mark.asyncio
async def test_pages_stories_statistics(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/health")).json() == {"status": "ok"}
    first = (await client.get("/api/frames", params={"limit": 3})).json()
    rest = await client.get("/api/frames", params={"limit": 3, "cursor": first["next_cursor"]})
    parts = [f["part_id"] for f in first["frames"] + rest.json()["frames"]]
    assert parts == [f"P{n:07}" for n in (5, 4, 3, 2, 1)]
    scrapped = (
        await client.get("/api/frames", params={"class": "crack", "action": "scrap"})
    ).json()
    assert len(scrapped["frames"]) == 1
    story = (await client.get(f"/api/frames/{make.frame_id(1)}")).json()
    assert story["effective"]["rule"] == "class:crack"
    assert (await client.get("/api/stats")).json()["by_action"] == {"pass": 4, "scrap": 1}
    pareto = (await client.get("/api/pareto?by=rule&passed=false")).json()
    assert [(row["name"], row["parts"]) for row in pareto["rows"]] == [("class:crack", 1)]
    assert len((await client.get("/api/gaps")).json()["unanswered"]) == 5


@pytest.mark.asyncio
async def test_pictures_are_what_their_bytes_are(client: httpx.AsyncClient) -> None:
    image = await client.get(f"/api/frames/{make.frame_id(1)}/image")
    assert image.headers["content-type"] == "image/png"
    region = await client.get(f"/api/frames/{make.frame_id(1)}/region")
    drawn = cv2.imdecode(np.frombuffer(region.content, np.uint8), cv2.IMREAD_COLOR)
    assert (drawn[16, 16] == (0, 0, 255)).all()
    script = await client.get(f"/api/frames/{make.frame_id(2)}/image")
    assert script.headers["content-type"] == "application/octet-stream"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert (await client.get(f"/api/frames/{make.frame_id(2)}/region")).status_code == 415
    assert (await client.get(f"/api/frames/{make.frame_id(3)}/image")).status_code == 404
    assert (await client.get(f"/api/frames/{make.frame_id(1)}/mask")).status_code == 404


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/frames?limit=100000", 422),
        ("/api/frames?action=melt", 422),
        ("/api/frames?since=yesterday", 422),
        ("/api/frames?cursor=x'--", 422),
        ("/api/frames?part=%00", 200),
        ("/api/frames?part=' OR 1=1 --", 200),
        ("/api/frames/" + "0" * 32, 404),
        ("/api/frames/../../etc/passwd", 404),
        ("/api/frames/nobody", 422),
    ],
)
async def test_bad_questions(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["frames"] == []
    else:
        assert answer.json()["detail"]


@pytest.mark.asyncio
async def test_nothing_can_be_written(client: httpx.AsyncClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await client.request(method, f"/api/frames/{make.frame_id(1)}")
        assert answer.status_code == 405


@pytest.mark.asyncio
async def test_a_database_that_is_down_is_503() -> None:
    history = History("postgresql+asyncpg://postgres@127.0.0.1:1/andon", timeout_s=2)
    async with client_of(app_of(history)) as client:
        assert (await client.get("/api/health")).status_code == 503
    await history.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("frames?clas=crack", "did you mean 'class'?"),
        ("frames?action=pass&action=scrap", "'action' is given 2 times"),
        ("frames?since=yesterday", "yesterday"),
        ("frames?limit=0", "greater than or equal to 1"),
        ("health?deep=1", "there are none"),
    ],
)
async def test_what_cannot_be_meant_is_a_list_of_mistakes(
    client: httpx.AsyncClient, query: str, words: str
) -> None:
    answer = await client.get(f"/api/{query}")
    assert answer.status_code == 422
    mistakes = answer.json()["detail"]
    assert words in "; ".join(mistake["msg"] for mistake in mistakes)
    assert all(set(mistake) == {"loc", "msg", "type"} for mistake in mistakes)
