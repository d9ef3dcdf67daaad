"""Letting people in and out over the real database; each deed is a row of the audit."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio
import typer

from andon.cli.console_people import NotTheirsError, add_user, must_be_theirs
from console import credentials
from console.access import ConsoleRole
from console.app import build_app
from console.identity import Gatekeeper
from history.accounts import Accounts, ConsoleUser, Login
from history.console_audit import ConsoleAudit
from history.errors import NotInHistoryError
from tests.console.make import BASE, DEED, client_of, new_token, parts_of

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


async def test_a_token_and_a_pin_open_at_most_what_their_person_may(accounts: Accounts) -> None:
    ada = ConsoleUser(name="ada", role="admin", must_change=True)
    await accounts.add(ada, "nothing", DEED)
    ends = datetime.now(UTC) + timedelta(hours=1)
    for word, label, way, role in (
        ("token", "gauge", "token", "engineer"),
        ("pin", "", "pin", "quality"),
    ):
        made = Login(
            secret_hash=credentials.secret_hash(word),
            user_name="ada",
            label=label,
            way=way,
            role=role,
            expires_at=ends,
        )
        await accounts.open(made, DEED)
    keeper = Gatekeeper(accounts)

    async def opened(word: str) -> tuple[str, str, bool]:
        who = await keeper.who(word)
        assert who is not None
        return who.name, who.role.value, who.must_change

    assert await opened("token") == ("ada (token gauge)", "engineer", False)
    for role, by_token, by_pin in (
        ("quality", "operator", "quality"),
        ("viewer", "viewer", "viewer"),
        ("engineer", "engineer", "operator"),
    ):
        await accounts.set_role("ada", role, DEED)
        assert [(await opened(word))[1] for word in ("token", "pin")] == [by_token, by_pin], role


async def test_a_token_is_not_made_that_would_open_less_than_it_says(accounts: Accounts) -> None:
    await accounts.add(ConsoleUser(name="ada", role="quality"), "nothing", DEED)
    await must_be_theirs(accounts, "ada", ConsoleRole.OPERATOR)
    with pytest.raises(NotTheirsError, match="say --role viewer, operator, quality, or name"):
        await must_be_theirs(accounts, "ada", ConsoleRole.ENGINEER)
    with pytest.raises(NotInHistoryError, match="no user 'bob'"):
        await must_be_theirs(accounts, "bob", ConsoleRole.VIEWER)


@pytest.mark.parametrize("name", ["ada ", "", "ad\u200ba", "ada\n"])
async def test_a_name_that_looks_like_another_is_refused_at_a_prompt(name: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"empty|blanks|sees"):
        add_user(name)


async def test_nobody_changes_their_own_rights_by_a_token(
    admin: httpx.AsyncClient, accounts: Accounts
) -> None:
    refused = await admin.post("/people/who-gives-admin", data={"do": "role", "role": "viewer"})
    assert refused.status_code == 422


async def test_a_name_with_a_slash_is_changed_like_any_other(
    admin: httpx.AsyncClient, accounts: Accounts
) -> None:
    await admin.post("/people", data={"name": "PLANT/ada", "role": "operator"})
    page = (await admin.get("/people")).text
    (path,) = set(re.findall(r'action="(/people/[^"]*ada)"', page))
    await admin.post(path, data={"do": "out"})
    found = await accounts.find("PLANT/ada")
    assert found is not None
    assert found[0].is_disabled


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
