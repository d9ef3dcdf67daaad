"""Parts that an earlier version recorded get their facts beside the recording."""

import asyncio
from collections.abc import Sequence

import pytest
from alembic import command
from sqlalchemy import Column, Connection, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from history import migrate
from history.migrate import upgrade, write_facts
from history.queries import History
from history.rows import Row
from history.tables import METADATA
from history.writer import PostgresHistoryWriter
from history.writer import _insert as insert_of
from streams.codes import AckOutcome, Action
from streams.errors import UnavailableError
from tests.history import make
from tests.history.make import CLASSIFIER, FALLBACK, WATCHDOG


async def downgraded(engine: AsyncEngine, revision: str = "v0001") -> None:
    def down(connection: Connection) -> None:
        command.downgrade(migrate._config(connection), revision)

    async with engine.begin() as link:
        await link.run_sync(down)


class EarlierWriter(PostgresHistoryWriter):
    """Writes decisions without the column by which golden parts are known."""

    def __init__(self, url: str) -> None:
        super().__init__(url, migrate=False)
        columns = [c for c in METADATA.tables["decision"].columns if c.name != "is_golden"]
        before = Table("decision", MetaData(), *(Column(c.name, c.type) for c in columns))
        self._inserts["decision"] = insert_of(before)

    async def _insert(self, table: str, batch: Sequence[Row]) -> None:
        rows = [{name: row[name] for name in row if name != "is_golden"} for row in batch]
        await super()._insert(table, rows)


@pytest.mark.asyncio
async def test_facts_of_an_earlier_versions_parts_are_written_while_events_arrive(
    url: str, engine: AsyncEngine
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    decided = [make.decision(n, part_id=f"S{n % 30}") for n in range(60)]
    await old.add_decisions(decided[:50])
    await old.add_acknowledgements([make.acknowledgement(d) for d in decided[:20]])
    await upgrade(url)
    reader = History(url)
    with pytest.raises(UnavailableError, match="andon history migrate"):
        await reader.stats()
    told: list[int] = []
    await asyncio.gather(
        write_facts(url, at_once=7, progress=told.append),
        old.add_acknowledgements([make.acknowledgement(d) for d in decided[20:]]),
        old.add_decisions(decided[50:]),
    )
    await write_facts(url)
    stats = await reader.stats()
    assert (stats.frames, stats.parts, stats.by_outcome) == (60, 30, {"acknowledged": 60})
    assert (await reader.gaps()).complete
    assert told[:2] == [7, 14]
    await reader.close()
    await old.close()


@pytest.mark.asyncio
async def test_record_prepares_what_an_earlier_version_left(
    url: str, engine: AsyncEngine, history: History
) -> None:
    await downgraded(engine)
    old = EarlierWriter(url)
    await old.add_decisions([make.decision(n) for n in range(5)])
    await old.close()
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions([make.decision(7)])
    assert writer._beside
    await writer._beside[0]
    assert (await history.stats()).frames == 6
    await writer.close()


@pytest.mark.asyncio
async def test_a_late_answer_that_was_taken_for_the_decision_is_so_no_more(
    url: str, engine: AsyncEngine, history: History
) -> None:
    fallback = make.decided(1, FALLBACK)
    watchdog = make.decided(1, WATCHDOG)
    late = make.decision(1, CLASSIFIER, Action.REWORK, "crack", is_late=True)
    unwritten = {"outcome": AckOutcome.LATE, "written_at": None, "acknowledged_at": None}
    refused = [make.acknowledgement(d, **unwritten) for d in (fallback, watchdog)]
    await downgraded(engine, "v0016")
    writer = PostgresHistoryWriter(url, migrate=False)
    await writer.add_decisions([fallback, watchdog, late, make.decision(2)])
    await writer.add_acknowledgements([*refused, make.acknowledgement(make.decision(2))])
    assert (await history.stats()).by_action == {"rework": 1, "pass": 1}
    await upgrade(url)
    stats = await history.stats()
    assert (stats.by_action, stats.by_outcome) == (
        {"hold": 1, "pass": 1},
        {"late": 1, "acknowledged": 1},
    )
    assert (await history.gaps()).complete
    story = await history.show(make.frame_id(1))
    assert story.effective is not None
    assert story.effective.source == "fallback"
    await writer.close()
