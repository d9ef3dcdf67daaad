"""The audit of the console: chained, insert-only, and found out when somebody changes it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.console_audit import ConsoleAudit, Deed
from history.database import connected
from history.errors import RefusedRowError
from streams.errors import UnavailableError

pytestmark = pytest.mark.asyncio
CHANGES = {
    "a word": ("UPDATE console_audit SET reason = 'nothing' WHERE number = 2", 2),
    "the time": ("UPDATE console_audit SET at = at - interval '1 s' WHERE number = 3", 3),
    "a row taken out": ("DELETE FROM console_audit WHERE number = 2", 2),
    "the beginning cut off": ("DELETE FROM console_audit WHERE number = 1", 1),
}


@pytest_asyncio.fixture
async def audit(url: str) -> AsyncIterator[ConsoleAudit]:
    made = ConsoleAudit(url)
    yield made
    await made.close()


async def write(audit: ConsoleAudit, rows: int = 4) -> None:
    for n in range(rows):
        await audit.append(Deed(actor="ada", action="login", reason=f"shift {n}\x00"))


async def test_what_is_written_verifies(audit: ConsoleAudit) -> None:
    assert (await audit.verify()).is_whole
    await write(audit)
    found = await audit.verify()
    assert (found.is_whole, found.rows) == (True, 4)
    newest = await audit.latest(limit=2)
    assert [row.number for row in newest] == [4, 3]
    assert newest[0].row_hash == found.last_hash
    assert newest[0].previous_hash == newest[1].row_hash
    assert [row.number for row in await audit.latest(before=3)] == [2, 1]
    assert [r.number for r in await audit.of_action("login", newest[1].at)] == [3, 4]
    assert await audit.append(Deed(actor="ada", action="logout")) == 5


async def test_several_at_once_make_one_chain(audit: ConsoleAudit, url: str) -> None:
    others = [ConsoleAudit(url) for _ in range(3)]
    await asyncio.gather(*(write(one, 5) for one in others))
    assert (await audit.verify()).rows == 15
    for one in others:
        await one.close()


@pytest.mark.parametrize(("statement", "number"), CHANGES.values(), ids=CHANGES)
async def test_a_change_is_found(
    audit: ConsoleAudit, engine: AsyncEngine, statement: str, number: int
) -> None:
    await write(audit)
    async with engine.begin() as link:
        await link.execute(text("ALTER TABLE console_audit DISABLE TRIGGER insert_only"))
        await link.execute(text(statement))
    found = await audit.verify()
    assert (found.broken_at, found.rows) == (number, number - 1)


@pytest.mark.parametrize(
    "verb", ["UPDATE console_audit SET actor = ''", "DELETE FROM console_audit"]
)
async def test_the_database_refuses_a_change(
    audit: ConsoleAudit, engine: AsyncEngine, verb: str
) -> None:
    await write(audit, 1)
    with pytest.raises((RefusedRowError, UnavailableError), match="only ever added"):
        async with connected(engine, 10.0, "trying") as link:
            await link.execute(text(verb))
    assert (await audit.verify()).rows == 1
