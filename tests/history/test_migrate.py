"""Migrations: from nothing, by several at once, down again; no drift from the models."""

import asyncio
import logging
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from history import migrate
from history.database import make_engine
from history.facts import METADATA
from history.migrate import current, head, is_newer, upgrade
from history.migrations import versions
from history.rights import VERSION_TABLE
from history.schema_lock import SCHEMA_LOCK
from streams.errors import UnavailableError


async def drift(url: str) -> list[tuple[object, ...]]:
    """How the database differs from ``history.tables``; empty when it does not."""

    def compare(connection: Connection) -> list[tuple[object, ...]]:
        query = text("SELECT relname FROM pg_class WHERE relispartition")
        parts = set(connection.execute(query).scalars())

        def is_whole(thing: object, name: str | None, kind: str, *_: object) -> bool:
            return kind != "table" or name not in parts

        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "include_object": is_whole,
        }
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
        )

    engine = make_engine(url)
    async with engine.connect() as link:
        found = await link.run_sync(compare)
    await engine.dispose()
    return found


@pytest.mark.asyncio
async def test_the_log_says_each_step_and_not_each_look(
    empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "alembic")
    await upgrade(empty_url)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("alembic")]
    assert len(said) == len(list(Path(versions.__file__).parent.glob("v*.py")))
    assert said[0].startswith("Running upgrade  -> v0001")
    assert await current(empty_url) == head()
    assert said == [r.getMessage() for r in caplog.records if r.name.startswith("alembic")]


@pytest.mark.asyncio
async def test_upgrade_reaches_head_and_models_do_not_drift(empty_url: str) -> None:
    assert await current(empty_url) == ""
    await upgrade(empty_url)
    await upgrade(empty_url)
    assert await current(empty_url) == head() == "v0022"
    assert await drift(empty_url) == []


@pytest.mark.asyncio
async def test_drift_is_seen(url: str) -> None:
    engine = make_engine(url)
    async with engine.begin() as link:
        await link.execute(text("ALTER TABLE review ADD COLUMN mood text"))
        await link.execute(text("DROP INDEX part_fact_part_id_idx"))
    await engine.dispose()
    assert sorted(change[0] for change in await drift(url)) == ["add_index", "remove_column"]


@pytest.mark.asyncio
async def test_several_at_once(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_url) for _ in range(4)))
    assert await current(empty_url) == head()


@pytest.mark.asyncio
async def test_a_lock_that_is_not_had_in_time_is_an_error_and_leaves_nothing(
    empty_url: str,
) -> None:
    engine = make_engine(empty_url)
    async with engine.begin() as link:
        await link.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
        with pytest.raises(UnavailableError, match="lock timeout"):
            await upgrade(empty_url, lock_timeout_s=0.2)
    await engine.dispose()
    assert await current(empty_url) == ""
    await upgrade(empty_url)


@pytest.mark.asyncio
async def test_what_a_later_build_made_is_left_as_it_is(url: str) -> None:
    assert not is_newer(head())
    assert not is_newer("")
    engine = make_engine(url)
    async with engine.begin() as link:
        await link.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'v9999'"))
    await engine.dispose()
    await upgrade(url)
    assert await current(url) == "v9999"
    assert is_newer("v9999")


@pytest.mark.asyncio
async def test_down_leaves_an_empty_database(url: str) -> None:
    def down(connection: Connection) -> None:
        command.downgrade(migrate._config(connection), "base")

    engine = make_engine(url)
    async with engine.begin() as link:
        await link.run_sync(down)
        left = await link.execute(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        )
        assert {row[0] for row in left} == {"history_version", "history_version_pkc"}
    await engine.dispose()
    await upgrade(url)
