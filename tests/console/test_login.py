"""Logging in over the real database: first start, forced change, refusals, and their audit."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from console.app import build_app
from console.first_start import let_first_in
from console.throttle import LOOKED_BACK, TRIES
from history.accounts import Accounts
from history.console_audit import ConsoleAudit, Deed
from tests.console.make import BASE, client_of, parts_of

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_hashes")]
NEW = "correct horse battery"


@pytest.fixture
def app(accounts: Accounts, audit: ConsoleAudit) -> FastAPI:
    return build_app(parts_of(accounts=accounts, audit=audit))


@pytest_asyncio.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, None, headers={"Origin": BASE, "Accept": "text/html"}) as made:
        yield made


async def first_password(accounts: Accounts) -> str:
    told: list[tuple[str, str]] = []
    await let_first_in(accounts, lambda name, password: told.append((name, password)))
    await let_first_in(accounts, lambda name, password: told.append((name, password)))
    ((name, password),) = told
    assert name == "admin"
    return password


async def log_in(browser: httpx.AsyncClient, password: str, there: str = "/live") -> httpx.Response:
    form = {"name": "admin", "password": password, "next": there}
    return await browser.post("/login", data=form)


async def test_from_the_first_start_to_a_page(
    app: FastAPI, browser: httpx.AsyncClient, accounts: Accounts, audit: ConsoleAudit
) -> None:
    given = await first_password(accounts)
    answer = await log_in(browser, given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/live")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert (await browser.get("/live")).headers["location"].startswith("/password")
    for form, words in (
        ({"old": given, "new": "short", "again": "short"}, "12"),
        ({"old": given, "new": NEW, "again": NEW + "!"}, "differ"),
        ({"old": "wrong", "new": NEW, "again": NEW}, "another one"),
        ({"old": given, "new": given, "again": given}, "of today"),
    ):
        refused = await browser.post("/password", data=form)
        assert (refused.status_code, words in refused.text) == (422, True)
    old = browser.cookies["andon_session"]
    done = await browser.post("/password", data={"old": given, "new": NEW, "again": NEW})
    assert done.status_code == 303
    assert (await browser.get("/live")).status_code == 200
    assert (await browser.get("/live")).status_code == 200
    async with client_of(app, None, cookies={"andon_session": old}) as other:
        assert (await other.get("/live")).status_code == 401, "the old session is over"
    await log_in(browser, NEW)
    assert (await browser.post("/logout")).headers["location"] == "/login"
    assert (await browser.get("/live")).headers["location"].startswith("/login")
    rows = [row.action for row in await audit.latest()]
    assert rows[::-1] == [
        *("user.add", "login", "password.refused", "user.password"),
        *("login", "login", "logout"),
    ]
    assert (await audit.verify()).is_whole
    written = "".join(str(row) for row in await audit.latest())
    assert given not in written
    assert NEW not in written


async def test_wrong_passwords_are_alike_and_slowed_down(
    browser: httpx.AsyncClient, accounts: Accounts, audit: ConsoleAudit
) -> None:
    await first_password(accounts)
    wrong = await log_in(browser, "wrong")
    nobody = await browser.post("/login", data={"name": "nobody", "password": "x", "next": "/"})
    assert wrong.status_code == nobody.status_code == 401
    assert [r.action for r in await audit.latest(2)] == ["login.refused", "login.refused"]
    for _ in range(TRIES):
        last = await log_in(browser, "wrong")
    assert last.status_code == 429


async def test_tries_count_at_every_console_and_after_a_start_of_one(
    browser: httpx.AsyncClient, accounts: Accounts, audit: ConsoleAudit
) -> None:
    given = await first_password(accounts)
    page = {"Origin": BASE, "Accept": "text/html"}
    await log_in(browser, given)
    for nth in range(TRIES):
        app = build_app(parts_of(accounts=accounts, audit=audit))  # another one, or begun again
        async with client_of(app, None, headers=page, cookies=dict(browser.cookies)) as other:
            form = {"old": "wrong", "new": NEW, "again": NEW}
            refused = await (other.post("/password", data=form) if nth else log_in(other, "wrong"))
            assert refused.status_code == (422 if nth else 401)
    app = build_app(parts_of(accounts=accounts, audit=audit))
    async with client_of(app, None, headers=page) as other:
        assert (await log_in(other, given)).status_code == 429, "the right one waits too"
    since = datetime.now(UTC) - LOOKED_BACK
    of_name, of_address = await audit.wrong_passwords("admin", "10.0.0.9", since)
    assert (len(of_name), of_address) == (TRIES, [])
    of_name, of_address = await audit.wrong_passwords("ada", "127.0.0.1", since)
    assert (of_name, len(of_address)) == ([], TRIES)
    await audit.append(Deed(actor="admin", action="login", login="password"))
    assert (await audit.wrong_passwords("admin", "", since)) == ([], []), "a right one begins anew"


@pytest.mark.parametrize(
    "there", ["//evil.example", "https://evil.example/", "/\\evil.example", ""]
)
async def test_a_login_leads_nowhere_else(
    browser: httpx.AsyncClient, accounts: Accounts, there: str
) -> None:
    assert (await log_in(browser, await first_password(accounts), there)).headers["location"] == "/"


async def test_language_and_theme_are_kept_in_the_browser(browser: httpx.AsyncClient) -> None:
    assert 'lang="en"' in (await browser.get("/login")).text
    chosen = {"language": "de", "theme": "dark", "back": "/login"}
    assert (await browser.post("/preferences", data=chosen)).headers["location"] == "/login"
    page = (await browser.get("/login")).text
    assert 'lang="de" data-theme="dark"' in page
    assert "Anmelden" in page
    await browser.post("/preferences", data={"language": "xx", "theme": "<b>"})
    assert 'lang="de" data-theme="dark"' in (await browser.get("/login")).text
