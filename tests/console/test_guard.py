"""The HTTP API answers as itself alone, and tells browsers to run and keep nothing."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from console.guard import HEADERS, host_of
from streams.errors import UnavailableError
from tests.console.make import app_of, client_of

pytestmark = pytest.mark.asyncio
PASSWORD = "hunter22"


class Away:
    """A history and a store that are not there, each in its own way."""

    def __init__(self) -> None:
        self.error: Exception = UnavailableError(f"postgresql://andon:{PASSWORD}@db/andon is away")

    async def close(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object, **__: object) -> object:
            raise self.error

        return fail


@pytest.fixture(scope="module")
def away() -> Away:
    return Away()


@pytest.fixture(scope="module")
def app(away: Away) -> FastAPI:
    """One for all: it takes a while to build and to describe."""
    return app_of(away, away, ("console.plant",))


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, base="http://127.0.0.1:8080") as made:
        yield made


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("LOCALHOST", 200),
        ("[::1]:8080", 200),
        ("console.plant:80", 200),
        ("evil.example", 421),
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("console.plant.evil.example", 421),
        ("127.0.0.1:8080@evil.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_a_foreign_host_is_refused(client: httpx.AsyncClient, host: str, status: int) -> None:
    found = await client.get("/api/openapi.json", headers={"Host": host})
    assert found.status_code == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/docs", 200),
        ("/api/openapi.json", 200),
        ("/api/stats", 503),
        ("/api/stats?no=1", 422),
        ("/api/frames/no", 422),
        ("/nothing", 404),
        ("/redoc", 404),
    ],
)
async def test_every_answer_has_the_headers(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    found = await client.get(path)
    assert found.status_code == status
    assert {name: found.headers.get(name) for name in HEADERS} == HEADERS
    assert PASSWORD not in found.text


async def test_a_mistake_of_ours_has_them_too_and_shows_nothing(
    client: httpx.AsyncClient, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away, "error", RuntimeError(f"broken with {PASSWORD}"))
    found = await client.get("/api/stats")
    assert found.status_code == 500
    assert {name: found.headers.get(name) for name in HEADERS} == HEADERS
    assert PASSWORD not in found.text


async def test_the_documentation_fetches_nothing(client: httpx.AsyncClient) -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()
            self.links: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.add(tag)
            self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    text = (await client.get("/docs")).text
    found = Tags()
    found.feed(text)
    assert not found.seen & {"script", "link", "img", "iframe", "style"}
    assert found.links == ["/api/openapi.json"]
    assert "GET /api/frames/{frame_id}/region" in text
    assert "next_cursor" in text


async def test_hosts_of_headers() -> None:
    assert [host_of(h) for h in ("a", "A:1", "[::1]", "[::1]:5", "::1", "a:b")] == [
        "a",
        "a",
        "[::1]",
        "[::1]",
        "::1",
        "a:b",
    ]
