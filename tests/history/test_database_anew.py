"""A database that is dropped, made anew or restored under a role that records."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from history.migrate import _migrate_to, _revisions_after, current, head, upgrade
from history.schema_lock import as_owner
from history.writer import PostgresHistoryWriter
from infra.stack.postgres_local import LocalPostgres
from streams.errors import UnavailableError
from tests.history import make


async def on_server(postgres: LocalPostgres, *statements: str) -> None:
    link = await asyncpg.connect(postgres.database_url("postgres").replace("+asyncpg", ""))
    for statement in statements:
        await link.execute(statement)
    await link.close()


async def count(url: str, table: str) -> int:
    link = await asyncpg.connect(url.replace("+asyncpg", ""))
    found = await link.fetchval(f"SELECT count(*) FROM {table}")
    await link.close()
    return int(found)


async def made_anew(postgres: LocalPostgres, url: str) -> None:
    name = url.rsplit("/", 1)[1]
    await on_server(postgres, f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name}")


@pytest_asyncio.fixture
async def recording(url: str) -> AsyncIterator[PostgresHistoryWriter]:
    """A writer that has written one decision."""
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions([make.decision(1)])
    yield writer
    await writer.close()


async def refusal(writer: PostgresHistoryWriter, number: int) -> str:
    """What it says while it cannot write, once it has noticed that its connections are gone."""
    for _ in range(8):
        with pytest.raises(UnavailableError) as caught:
            await writer.add_decisions([make.decision(number)])
        if "went away" not in str(caught.value):
            break
    return str(caught.value)


@pytest.mark.asyncio
async def test_an_empty_database_is_left_to_who_restores_it(
    recording: PostgresHistoryWriter, postgres: LocalPostgres, url: str
) -> None:
    """What would go into new tables is not read from Kafka again after the restore."""
    await made_anew(postgres, url)
    said = await refusal(recording, 2)
    assert "made anew" in said
    assert "andon history restore" in said
    assert "andon history migrate" in said
    assert await current(url) == "", "no table was made"
    await upgrade(url)
    await recording.add_decisions([make.decision(2)])
    assert await count(url, "part_fact") == 1


@pytest.mark.asyncio
async def test_a_database_of_an_earlier_schema_is_migrated(
    recording: PostgresHistoryWriter, postgres: LocalPostgres, url: str
) -> None:
    """As a backup that an earlier version made."""
    await made_anew(postgres, url)
    first, *_ = _revisions_after("")
    async with asyncio.timeout(30):
        await as_owner(url, 30.0, lambda link: link.run_sync(_first_revision, first))
    assert await current(url) == first
    await refusal(recording, 2)
    await recording.add_decisions([make.decision(2)])
    assert await current(url) == head()
    assert await count(url, "part_fact") == 1


def _first_revision(connection: object, revision: str) -> None:
    _migrate_to(revision, connection)  # type: ignore[arg-type]
    connection.commit()  # type: ignore[attr-defined]
