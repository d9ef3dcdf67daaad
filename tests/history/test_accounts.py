"""People and sessions: what a secret opens, and that it stops at the next question."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from history.accounts import Accounts, ConsoleUser, DoubledAccountError, Login
from history.console_audit import ConsoleAudit, Deed
from history.errors import NotInHistoryError

pytestmark = pytest.mark.asyncio
SOON = datetime.now(UTC) + timedelta(hours=1)
DEED = Deed(actor="test", action="test")


@pytest_asyncio.fixture
async def accounts(url: str) -> AsyncIterator[Accounts]:
    made = Accounts(url, timeout_s=10.0)
    await made.add(ConsoleUser(name="ada", role="quality"), "phc-1", DEED)
    await made.open(Login(secret_hash="s1", user_name="ada", role="quality", expires_at=SOON), DEED)
    kiosk = Login(secret_hash="t1", user_name="ada", label="kiosk", role="viewer", expires_at=SOON)
    await made.open(kiosk, DEED)
    yield made
    await made.close()


async def role_of(accounts: Accounts, secret: str) -> str | None:
    found = await accounts.login(secret)
    return found.role if found else None


async def test_a_session_has_the_person_s_role_and_a_token_its_own(accounts: Accounts) -> None:
    assert [await role_of(accounts, s) for s in ("s1", "t1", "no")] == ["quality", "viewer", None]
    await accounts.set_role("ada", "admin", DEED)
    assert [await role_of(accounts, s) for s in ("s1", "t1")] == ["admin", "viewer"]
    assert [token.label for token in await accounts.tokens()] == ["kiosk"]


async def test_what_ends_a_session_counts_at_once(accounts: Accounts) -> None:
    await accounts.end("t1", DEED)
    assert await role_of(accounts, "t1") is None
    await accounts.set_password("ada", "phc-2", DEED)
    assert await role_of(accounts, "s1") is None
    late = Login(secret_hash="s2", user_name="ada", role="", expires_at=SOON - timedelta(hours=2))
    await accounts.open(late, DEED)
    assert await role_of(accounts, "s2") is None


async def test_a_person_who_is_shut_out_has_nothing_open(accounts: Accounts) -> None:
    await accounts.set_disabled("ada", True, DEED)
    assert [await role_of(accounts, s) for s in ("s1", "t1")] == [None, None]


async def test_one_person_of_a_name_and_one_first(accounts: Accounts, url: str) -> None:
    with pytest.raises(DoubledAccountError, match="'ada'"):
        await accounts.add(ConsoleUser(name="ada", role="admin"), "x", DEED)
    assert not await accounts.add_first(ConsoleUser(name="admin", role="admin"), "x", DEED)
    with pytest.raises(NotInHistoryError, match="'bob'"):
        await accounts.set_role("bob", "admin", DEED)
    assert [one.name for one in await accounts.everybody()] == ["ada"]
    found = await accounts.find("ada")
    assert found is not None
    assert found[1] == "phc-1"
    audit = ConsoleAudit(url)
    assert (await audit.verify()).rows == 3, "what was refused is not written down"
    await audit.close()
