"""A connection that is lost at its COMMIT, before or after the database had it: recorded once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from history.console_audit import ConsoleAudit, Deed
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.errors import UnavailableError
from tests.history import make


class Cut:
    """A way to PostgreSQL that breaks at the next COMMIT that it is told to break at."""

    def __init__(self) -> None:
        self.at_commit = ""
        """``before`` or ``after`` the database has it; empty: it breaks at none."""
        self.cuts = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def carry(
        self, client: asyncio.StreamReader, back: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        answers, server = await asyncio.open_connection(host, port)
        broken = False

        async def answer() -> None:
            while (data := await answers.read(65536)) and not broken:
                back.write(data)
            back.transport.abort()

        answering = asyncio.create_task(answer())
        try:
            while data := await client.read(65536):
                when = self.at_commit if b"COMMIT" in data else ""
                if when:
                    broken, self.at_commit = True, ""
                    self.cuts += 1
                if when != "before":
                    server.write(data)
                if when == "after":  # the database has it when it answers
                    await asyncio.wait({answering}, timeout=10)
                if when:
                    break
        except ConnectionError:
            pass
        for end in (server, back):
            end.transport.abort()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


@asynccontextmanager
async def cut_way(url: str) -> AsyncIterator[tuple[Cut, str]]:
    """The way, and the database's address by it."""
    cut, address = Cut(), make_url(url)
    host, port = address.host or "127.0.0.1", address.port or 5432

    async def carry(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        cut.tasks.add(task)
        await cut.carry(client, back, host, port)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    by_it = address.set(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    yield cut, by_it.render_as_string(hide_password=False)
    server.close()
    for task in cut.tasks:
        task.cancel()
    await asyncio.gather(*cut.tasks, return_exceptions=True)


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
