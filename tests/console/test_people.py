"""Letting people in and out over the real database; each deed is a row of the audit."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from console import credentials
from console.access import ConsoleRole
from console.app import build_app
from history.accounts import Accounts
from history.console_audit import ConsoleAudit
from tests.console.make import BASE, client_of, new_token, parts_of

pytestmark = pytest.mark.asyncio
PAGE = {"Accept": "text/html", "Origin": BASE}
PASSWORD = re.compile(r"<code>((?:\w{4}-){3}\w{4})</code>")


@pytest_asyncio.fixture
async def admin(
    url: str, accounts: Accounts, audit: ConsoleAudit, quick_hashes: None
) -> AsyncIterator[httpx.AsyncClient]:
    secret = await new_token(url, ConsoleRole.ADMIN)
    app = build_app(parts_of(accounts=accounts, audit=audit))
    async with client_of(app, secret, headers=PAGE) as made:
        yield made


async def test_a_person_comes_in_changes_and_goes(
    admin: httpx.AsyncClient, accounts: Accounts, audit: ConsoleAudit
) -> None:
    added = await admin.post("/people", data={"name": "ada", "role": "operator"})
    (secret,) = PASSWORD.findall(added.text)
    found = await accounts.find("ada")
    assert found is not None
    assert (found[0].role, found[0].must_change) == ("operator", True)
    assert await credentials.is_password(found[1], secret)
    assert not PASSWORD.findall((await admin.get("/people")).text), "it is shown once"
    await admin.post("/people/ada", data={"do": "role", "role": "quality"})
    again = await admin.post("/people/ada", data={"do": "password"})
    assert PASSWORD.findall(again.text) != [secret]
    await admin.post("/people/ada", data={"do": "out"})
    gone = await accounts.find("ada")
    assert gone is not None
    assert (gone[0].role, gone[0].is_disabled) == ("quality", True)
    rows = (await audit.latest(4))[::-1]
    assert [r.action for r in rows] == ["user.add", "user.role", "user.password", "user.out"]
    assert (rows[1].before, rows[1].after) == ("operator", "quality")
    assert secret not in "".join(map(str, rows))


async def test_what_cannot_be_is_refused(admin: httpx.AsyncClient, accounts: Accounts) -> None:
    await admin.post("/people", data={"name": "ada", "role": "viewer"})
    for data, words in (
        ({"name": "ada", "role": "viewer"}, "somebody of that name"),
        ({"name": "a\x00b", "role": "viewer"}, "cannot be a name"),
        ({"name": "", "role": "viewer"}, "cannot be a name"),
    ):
        answer = await admin.post("/people", data=data)
        assert (answer.status_code, words in answer.text) == (422, True), data
    assert (await admin.post("/people", data={"name": "x", "role": "king"})).status_code == 400
    assert (await admin.post("/people/ada", data={"do": "dance"})).status_code == 400
    assert (await admin.post("/people/nobody", data={"do": "out"})).status_code == 404


async def test_a_token_is_ended(admin: httpx.AsyncClient, url: str, accounts: Accounts) -> None:
    await new_token(url, ConsoleRole.VIEWER, "wall")
    key = credentials.secret_hash("wall")
    assert await accounts.login(key) is not None
    assert f"/tokens/{key}" in (await admin.get("/people")).text
    await admin.post(f"/tokens/{key}")
    assert await accounts.login(key) is None


async def test_the_audit_page_says_whether_it_is_whole(
    admin: httpx.AsyncClient, audit: ConsoleAudit
) -> None:
    evil = "<b>ada"
    await admin.post("/people", data={"name": evil, "role": "viewer"})
    page = (await admin.get("/audit?verify=yes")).text
    assert "every one as it was written" in page
    assert (await audit.verify()).last_hash in page
    assert evil not in page
    assert "&lt;b&gt;ada" in page
    assert "user.add" not in (await admin.get("/audit?before=1")).text
