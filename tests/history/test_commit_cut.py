"""A connection that is lost at its COMMIT, before or after the database had it: recorded once."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.console_audit import ConsoleAudit, Deed
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.errors import UnavailableError
from tests.history import make
from tests.history.commit_cuts import cut_way

Write = Callable[[], Awaitable[None]]


@pytest.mark.asyncio
@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_is_written_again_is_there_once(
    url: str, history: History, engine: AsyncEngine, when: str
) -> None:
    events = [make.decision(number) for number in range(4)]
    async with cut_way(url) as (cut, by_it):
        writer = PostgresHistoryWriter(by_it, migrate=False)
        writes: list[Write] = [
            lambda: writer.add_decisions(events),
            lambda: writer.add_acknowledgements([make.acknowledgement(e) for e in events]),
            lambda: writer.add_reviews([make.review(n) for n in range(4)]),
            lambda: writer.add_anomalies([make.anomaly(n) for n in range(4)]),
        ]
        for number, write in enumerate(writes, 1):
            cut.at_commit = when
            with pytest.raises(UnavailableError):
                await write()
            assert cut.cuts == number
            await write()
        await writer.close()
    assert (await history.gaps()).complete
    async with engine.connect() as link:
        asked = "SELECT (SELECT count(*) FROM {0}), (SELECT sum(parts) FROM part_count)"
        for table in ("decision", "acknowledgement", "review", "anomaly", "part_fact"):
            assert tuple((await link.execute(text(asked.format(table)))).one()) == (4, 4), table


@pytest.mark.asyncio
@pytest.mark.parametrize(("when", "rows"), [("before", 1), ("after", 2)])
async def test_the_chain_of_the_audit_stays_whole(url: str, when: str, rows: int) -> None:
    """A deed that is tried again stands there for each time that it was done."""
    async with cut_way(url) as (cut, by_it):
        audit = ConsoleAudit(by_it)
        cut.at_commit = when
        with pytest.raises(UnavailableError):
            await audit.append(Deed(actor="ada", action="login"))
        await audit.append(Deed(actor="ada", action="login"))
        found = await audit.verify()
        await audit.close()
    assert (found.is_whole, found.rows) == (True, rows)
