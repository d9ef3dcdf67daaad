"""A migrated database of its own for each test, copied from a template."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from history.database import make_engine
from history.migrate import upgrade
from history.queries import History
from history.writer import PostgresHistoryWriter
from infra.stack.postgres_local import LocalPostgres


def _fresh_name() -> str:
    return f"history_{uuid4().hex}"


def admin(postgres: LocalPostgres, statement: str) -> None:
    """One statement outside a transaction, as the superuser."""

    async def run() -> None:
        link = await asyncpg.connect(postgres.database_url("postgres").replace("+asyncpg", ""))
        await link.execute(statement)
        await link.close()

    asyncio.run(run())


@pytest.fixture(scope="session")
def template(postgres: LocalPostgres) -> str:
    """The name of a migrated, empty database."""
    name = _fresh_name()
    admin(postgres, f"CREATE DATABASE {name}")
    asyncio.run(upgrade(postgres.database_url(name)))
    return name


@pytest.fixture
def empty_url(postgres: LocalPostgres) -> str:
    """A database without any table."""
    name = _fresh_name()
    admin(postgres, f"CREATE DATABASE {name}")
    return postgres.database_url(name)


@pytest.fixture
def url(postgres: LocalPostgres, template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = _fresh_name()
    admin(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.database_url(name)
    admin(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def writer(url: str) -> AsyncIterator[PostgresHistoryWriter]:
    made = PostgresHistoryWriter(url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def history(url: str) -> AsyncIterator[History]:
    made = History(url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    made = make_engine(url)
    yield made
    await made.dispose()
