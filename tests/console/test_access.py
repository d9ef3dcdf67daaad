"""One table says who may call what: every route with every role, and what a browser must bring."""

from collections.abc import Iterable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from console.access import ACCESS, PUBLIC, ConsoleRole, may_call
from console.app import build_app
from console.credentials import secret_hash
from console.feed.live_feed import LiveFeed
from streams.errors import UnavailableError
from tests.console.make import (
    BASE,
    EveryRole,
    GivenRecords,
    app_of,
    client_of,
    parts_of,
)

FRAME = "019ac000-0000-7000-8000-000000000000"
VALUES = {
    "{frame_id}": FRAME,
    "{identity}": FRAME,
    "{alert_id}": FRAME,
    "{review_id}": FRAME,
    "{size}": "small",
    "{line:path}": "line-1",
    "{form}": "csv",
    "{name}": "console.css",
    "{key}": "tile",
    "{version}": "ab" * 32,
    "{row}": "0",
    "{kind}": "normal",
    "{step}": "train",
    "{secret_hash}": "ab" * 32,
    "{product}": "tile",
    "{test_id}": "ab" * 16,
    "{number}": "1",
}
ROUTES = sorted(ACCESS)
STREAMS = {("GET", "/live/events"), ("GET", "/line-events")}
"""They never end by themselves; ``test_live`` and ``test_line`` read them."""


class Away:
    """Whatever is asked is away: a route that is let through answers 503, at the worst."""

    async def close(self) -> None: ...

    def asking(self, doing: str) -> object:
        raise UnavailableError(f"away while {doing}")

    def __getattr__(self, name: str) -> object:
        async def fail(*_: object, **__: object) -> object:
            raise UnavailableError("away")

        return fail


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """One for all, for building it takes a while; no request here leaves a trace in it."""
    away = Away()
    return build_app(parts_of(history=away, store=away, audit=away, handovers=away, leases=away))


def path_of(route: str) -> str:
    for name, value in VALUES.items():
        route = route.replace(name, value)
    return route


def flat(routes: Iterable[object]) -> Iterator[object]:
    """The routes, those of included routers too."""
    for route in routes:
        router = getattr(route, "original_router", None)
        yield from flat(router.routes) if router is not None else [route]


def test_every_route_is_in_the_table_and_every_entry_is_a_route(app: FastAPI) -> None:
    routes = list(flat(app.routes))
    found = {(m, r.path) for r in routes if isinstance(r, APIRoute) for m in r.methods}
    others = [route for route in routes if not isinstance(route, APIRoute)]
    assert found == set(ACCESS)
    assert not others, "a route that asks nobody who they are"


@pytest.mark.asyncio
@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_every_route_and_role(app: FastAPI, route: tuple[str, str]) -> None:
    method, path = route
    for role in (*ConsoleRole, None):
        allowed = ACCESS[route] is PUBLIC or (role is not None and may_call(role, method, path))
        if route in STREAMS and allowed:
            continue
        async with client_of(app, role) as client:
            headers = {"Origin": BASE}
            status = (await client.request(method, path_of(path), headers=headers)).status_code
        refused = 401 if role is None else 403
        assert (status != refused) if allowed else (status == refused), (role, status)


@pytest.mark.asyncio
@pytest.mark.parametrize("route", [r for r in ROUTES if r[0] != "GET"], ids=" ".join)
@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", f"{BASE}.evil.example"])
async def test_a_write_from_elsewhere_is_refused(
    app: FastAPI, route: tuple[str, str], origin: str | None
) -> None:
    async with client_of(app, None, cookies={"andon_session": "admin"}) as client:
        headers = {"Origin": origin} if origin else {}
        answer = await client.request(route[0], path_of(route[1]), headers=headers)
    assert answer.status_code == 403
    assert answer.json() == {"detail": "a write must come from a page of this console"}


@pytest.mark.asyncio
@pytest.mark.parametrize("authorization", ["Basic YWRhOng=", "Negotiate abc", ""])
async def test_what_a_browser_adds_for_a_proxy_is_no_token(
    app: FastAPI, authorization: str
) -> None:
    async with client_of(app, None, cookies={"andon_session": "admin"}) as client:
        headers = {"Origin": "http://evil.example", "Authorization": authorization}
        answer = await client.post("/people", data={"name": "eve"}, headers=headers)
    assert answer.json() == {"detail": "a write must come from a page of this console"}


@pytest.mark.asyncio
async def test_revocation_counts_at_the_next_request() -> None:
    everyone = EveryRole()
    app = build_app(parts_of(accounts=everyone))
    async with client_of(app, "viewer") as client:
        assert (await client.get("/live")).status_code == 200
        everyone.ended.add(secret_hash("viewer"))
        assert (await client.get("/live")).status_code == 401


@pytest.mark.asyncio
async def test_without_the_database_whoever_was_let_in_still_is() -> None:
    everyone = EveryRole()
    plant = parts_of().plant
    feed = LiveFeed(GivenRecords(), plant.shift_at)
    app = build_app(parts_of(accounts=everyone, feed=feed))
    async with client_of(app, "operator") as known, client_of(app, "viewer") as unknown:
        assert (await known.get("/live")).status_code == 200
        everyone.error = UnavailableError("the database is away")
        assert (await known.get("/live")).status_code == 200
        assert (await unknown.get("/live")).status_code == 503


@pytest.mark.asyncio
async def test_a_given_password_opens_nothing_but_its_change() -> None:
    everyone = EveryRole()
    everyone.must_change = True
    async with client_of(build_app(parts_of(accounts=everyone)), "admin") as client:
        page = {"Accept": "text/html"}
        found = await client.get("/live", headers=page)
        assert (found.status_code, found.headers["location"]) == (303, "/password?next=/live")
        assert (await client.get("/api/frames")).status_code == 403
        assert (await client.get("/password", headers=page)).status_code == 200


@pytest.mark.asyncio
async def test_a_browser_is_led_to_the_login_and_a_program_is_told() -> None:
    async with client_of(app_of(), None) as client:
        page = await client.get("/live?x=1", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=/live%3Fx%3D1")
        assert (await client.get("/api/frames")).status_code == 401


@pytest.mark.asyncio
async def test_a_method_that_a_path_lacks_is_told_all_that_it_has(app: FastAPI) -> None:
    async with client_of(app, "admin") as client:
        answer = await client.patch("/people", headers={"Origin": BASE})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
