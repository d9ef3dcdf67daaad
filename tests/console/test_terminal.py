"""Screens on the wall and shared terminals, over the real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import ModuleType

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from console.app import build_app
from console.credentials import password_hash, secret_hash
from console.feed.live_feed import LiveFeed
from console.feed.status_feed import StatusFeed
from console.pages import line, live
from console.pages.terminal import DROPPED_AFTER
from console.throttle import Throttle
from history.accounts import Accounts, ConsoleUser, Login
from history.console_audit import ConsoleAudit
from history.plant_times import PlantTimes
from tests.console.make import BASE, DEED, GivenRecords, client_of, parts_of
from tests.console.streams import followed, listening

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_hashes")]
PASSWORD, PIN = "correct horse battery", "482913"
PAGE = {"Origin": BASE, "Accept": "text/html"}


@pytest.fixture
def app(accounts: Accounts, audit: ConsoleAudit) -> FastAPI:
    return build_app(parts_of(accounts=accounts, audit=audit))


@pytest_asyncio.fixture
async def browser(app: FastAPI, accounts: Accounts) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is nothing yet; ada is an engineer with password and PIN, codes are made."""
    await accounts.add(
        ConsoleUser(name="ada", role="engineer"), await password_hash(PASSWORD), DEED
    )
    await accounts.set_pin("ada", await password_hash(PIN), DEED)
    for way in ("wall", "terminal"):
        ends = datetime.now(UTC) + timedelta(days=9)
        code = secret_hash(f"code-{way}")
        login = Login(
            secret_hash=code, user_name="ada", label=way, role="viewer", way=way, expires_at=ends
        )
        await accounts.open(login, DEED)
    async with client_of(app, None, headers=PAGE) as made:
        yield made


async def with_pin(browser: httpx.AsyncClient, pin: str = PIN) -> httpx.Response:
    return await browser.post("/terminal/login", data={"name": "ada", "pin": pin, "next": "/live"})


async def test_a_wall_shows_the_line_and_nothing_else(
    browser: httpx.AsyncClient, accounts: Accounts
) -> None:
    opened = await browser.post("/terminal", data={"code": "code-wall"})
    assert (opened.status_code, opened.headers["location"]) == (303, "/live")
    page = await browser.get("/live")
    assert page.status_code == 200
    assert "<nav" not in page.text
    assert "/logout" not in page.text
    for path in ("/history", "/password", "/parts/019ac000-0000-7000-8000-000000000000", "/find"):
        assert (await browser.get(path)).status_code == 403, path
    await accounts.end(secret_hash("code-wall"), DEED)
    assert (await browser.get("/live")).headers["location"].startswith("/login")


async def test_a_pin_opens_a_short_session_on_its_terminal_alone(
    app: FastAPI, browser: httpx.AsyncClient, accounts: Accounts, audit: ConsoleAudit
) -> None:
    assert (await with_pin(browser)).headers["location"] == "/login", "not on a shared terminal"
    await browser.post("/terminal", data={"code": " code-terminal "})
    assert (await browser.get("/live")).status_code == 303, "the terminal itself opens nothing"
    page = (await browser.get("/login")).text
    assert "Who is there?" in page
    assert "<option>ada</option>" in page
    assert (await with_pin(browser)).headers["location"] == "/live"
    page = (await browser.get("/live")).text
    assert "Switch user" in page
    assert "operator" in page, "a PIN opens no engineer's pages"
    secret = browser.cookies["andon_session"]
    login = await accounts.login(secret_hash(secret))
    assert login is not None
    assert login.expires_at < datetime.now(UTC) + timedelta(minutes=16)
    async with client_of(app, None, cookies={"andon_session": secret}) as elsewhere:
        assert (await elsewhere.get("/live")).status_code == 401
    await accounts.end(secret_hash("code-terminal"), DEED)
    assert (await browser.get("/live")).status_code == 303, "the terminal is none any more"
    rows = [(row.action, row.login) for row in await audit.latest(4)]
    assert ("login", "pin") in rows
    assert "terminal.open" in [action for action, _ in rows]


@pytest.mark.parametrize(
    ("page", "path"), [(live, "/live/events"), (line, "/line-events")], ids=("live", "line")
)
async def test_a_stream_outlives_the_check_of_a_session_that_a_pin_opened(
    browser: httpx.AsyncClient,
    accounts: Accounts,
    audit: ConsoleAudit,
    monkeypatch: pytest.MonkeyPatch,
    page: ModuleType,
    path: str,
) -> None:
    for name, value in (("CHECK_S", -1.0), ("BEAT_S", 0.5)):
        monkeypatch.setattr(page, name, value)
    await browser.post("/terminal", data={"code": "code-terminal"})
    await with_pin(browser)
    feed, status = LiveFeed(GivenRecords(), PlantTimes().shift_at), StatusFeed(GivenRecords())
    app = build_app(parts_of(accounts=accounts, audit=audit, feed=feed, status=status))
    async with (
        followed(feed, status),
        listening(app, path, cookies=dict(browser.cookies)) as events,
    ):
        kinds = [(await anext(events))["event"] for _ in range(3)]
        assert kinds == ["line"] * 3
        await accounts.end(secret_hash("code-terminal"), DEED)
        while (await anext(events))["event"] != "begin-again":
            pass


async def test_wrong_pins_are_slowed_down_and_the_pin_is_dropped(
    browser: httpx.AsyncClient,
    accounts: Accounts,
    audit: ConsoleAudit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await browser.post("/terminal", data={"code": "code-terminal"})
    statuses = [(await with_pin(browser, "000000")).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert (await with_pin(browser)).status_code == 429, "the right one waits too"
    monkeypatch.setattr(Throttle, "wait_s", lambda self, *keys: 0.0)
    for _ in range(DROPPED_AFTER - 5):
        await with_pin(browser, "000000")
    assert await accounts.pin_of("ada") == ""
    assert (await with_pin(browser)).status_code == 401
    assert "user.pin.dropped" in [row.action for row in await audit.latest(5)]


async def test_wrong_pins_at_several_consoles_are_one_row(
    browser: httpx.AsyncClient,
    accounts: Accounts,
    audit: ConsoleAudit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Throttle, "wait_s", lambda self, *keys: 0.0)
    await browser.post("/terminal", data={"code": "code-terminal"})
    cookies = dict(browser.cookies)
    for _ in range(DROPPED_AFTER - 1):
        app = build_app(parts_of(accounts=accounts, audit=audit))  # another one, or begun again
        async with client_of(app, None, headers=PAGE, cookies=cookies) as other:
            assert (await with_pin(other, "000000")).status_code == 401
    assert await audit.wrong_pins("ada") == DROPPED_AFTER - 1
    assert (await with_pin(browser)).headers["location"] == "/live"
    assert await audit.wrong_pins("ada") == 0, "a right one begins anew"
    for _ in range(DROPPED_AFTER):
        assert await accounts.pin_of("ada")
        app = build_app(parts_of(accounts=accounts, audit=audit))
        async with client_of(app, None, headers=PAGE, cookies=cookies) as other:
            await with_pin(other, "000000")
    assert await accounts.pin_of("ada") == ""
    assert await audit.wrong_pins("ada") == 0


async def test_a_pin_is_chosen_with_the_password(
    browser: httpx.AsyncClient, accounts: Accounts, audit: ConsoleAudit
) -> None:
    await browser.post("/login", data={"name": "ada", "password": PASSWORD, "next": "/password"})
    assert "PIN for shared terminals" in (await browser.get("/password")).text
    for form, words in (
        ({"old": PASSWORD, "pin": "123456"}, "no row like"),
        ({"old": PASSWORD, "pin": "abcdef"}, "no row like"),
        ({"old": "wrong", "pin": "739105"}, "another one"),
    ):
        refused = await browser.post("/pin", data=form)
        assert (refused.status_code, words in refused.text) == (422, True), form
    done = await browser.post("/pin", data={"old": PASSWORD, "pin": "739105"})
    assert "The PIN is set." in done.text
    assert await accounts.pin_of("ada")
    await browser.post("/pin", data={"old": PASSWORD, "pin": ""})
    assert await accounts.pin_of("ada") == ""
    rows = await audit.latest(2)
    assert [row.action for row in rows] == ["user.pin.none", "user.pin"]
    assert "739105" not in str(rows)


async def test_a_code_that_is_none_is_refused_and_slowed_down(
    browser: httpx.AsyncClient, accounts: Accounts
) -> None:
    ends = datetime.now(UTC) + timedelta(days=1)
    token = Login(
        secret_hash=secret_hash("program"),
        user_name="ada",
        label="program",
        role="admin",
        way="token",
        expires_at=ends,
    )
    await accounts.open(token, DEED)
    statuses = [
        (await browser.post("/terminal", data={"code": code})).status_code
        for code in ("", "nonsense", "program", "x", "y", "code-wall")
    ]
    assert statuses == [401] * 5 + [429]
