"""The schema changes while events are recorded: none is lost, and none waits long."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.database import make_engine
from history.migrate import build_indexes, current, head, upgrade, write_facts
from history.migrations.indexes import INDEXES
from history.months import divide_tables
from history.queries import History
from streams.errors import UnavailableError
from tests.history import make
from tests.history.test_earlier_parts import EarlierWriter, downgraded
from tests.waiting import until

EVENTS_S = 100
"""Decisions and acknowledgements that an earlier version records meanwhile, a second."""


class Recording:
    """An earlier version that records one decision and one acknowledgement after the other."""

    def __init__(self, url: str) -> None:
        self._writer = EarlierWriter(url)
        self.parts = 0
        self.slowest_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            decision = make.decision(self.parts, part_id=f"P{self.parts}")
            await self._keep(lambda d=decision: self._writer.add_decisions([d]))  # type: ignore[misc]
            told = make.acknowledgement(decision)
            await self._keep(lambda a=told: self._writer.add_acknowledgements([a]))  # type: ignore[misc]
            self.parts += 1
            due += 2 / EVENTS_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await self._writer.close()

    async def _keep(self, add: Callable[[], Awaitable[None]]) -> None:
        """As the role record does: until the database has it."""
        began = time.monotonic()
        while True:
            try:
                await add()
            except UnavailableError:
                await asyncio.sleep(0.1)
            else:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                return


async def counts(engine: AsyncEngine) -> list[int]:
    queries = ("decision", "acknowledgement", "part_fact WHERE outcome = 'acknowledged'")
    async with engine.connect() as link:
        return [(await link.scalar(text(f"SELECT count(*) FROM {q}"))) or 0 for q in queries]


@pytest.mark.asyncio
async def test_no_event_is_lost_while_every_migration_runs(url: str, engine: AsyncEngine) -> None:
    """A reader holds its locks for a while, as an export does: the migrations wait for it, and no
    event waits for the migrations."""
    await downgraded(engine)
    recording, stop = Recording(url), asyncio.Event()
    running = asyncio.create_task(recording.run(stop))
    reader = make_engine(url)
    async with reader.connect() as link:
        await link.execute(text("SELECT count(*) FROM decision"))
        migrating = asyncio.create_task(upgrade(url))
        await until(lambda: recording.parts >= EVENTS_S, 100, "events beside a waiting migration")
        assert not migrating.done(), "it waits for the reader's lock"
    await migrating
    await asyncio.gather(build_indexes(url), write_facts(url))
    assert sorted(await divide_tables(url)) == ["acknowledgement", "decision"]
    recorded = recording.parts
    await until(lambda: recording.parts > recorded + 5, 100, "events into tables by month")
    stop.set()
    await running
    await reader.dispose()
    assert await current(url) == head()
    assert await counts(engine) == [recording.parts] * 3
    assert recording.slowest_s < 10
    history = History(url)
    assert (await history.stats()).parts == recording.parts
    await history.close()


@pytest.mark.asyncio
async def test_an_index_that_was_left_half_built_is_built_anew(
    url: str, engine: AsyncEngine
) -> None:
    name = "decision_golden_idx"
    async with engine.begin() as link:
        await link.execute(text(f"DROP INDEX {name}"))
        await link.execute(text(f"CREATE INDEX {name} {INDEXES[name]}"))
        invalid = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"
        await link.execute(text(invalid))
        await link.execute(text("DROP INDEX part_fact_audit_draw_idx"))
    await asyncio.gather(build_indexes(url), build_indexes(url))
    query = text(
        "SELECT count(*) FROM pg_index WHERE indexrelid = ANY (:n ::regclass[]) AND indisvalid"
    )
    async with engine.connect() as link:
        assert await link.scalar(query, {"n": list(INDEXES)}) == len(INDEXES)
