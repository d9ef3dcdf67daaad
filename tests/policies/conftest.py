"""Where ``andon policy`` works in tests: the embedded broker, and a database of its own."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from andon.settings import load_settings
from history.migrate import upgrade
from infra.stack.broker import Broker
from infra.stack.postgres_local import LocalPostgres


@pytest.fixture(scope="session")
def database(postgres: LocalPostgres) -> str:
    url = postgres.database_url("policy_command")
    asyncio.run(_create(postgres.url))
    asyncio.run(upgrade(url))
    return url


async def _create(url: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as link:
        await link.execute(text("CREATE DATABASE policy_command"))
    await engine.dispose()


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, broker: Broker, database: str) -> Iterator[None]:
    monkeypatch.setenv("ANDON_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("ANDON_POSTGRES__URL", database)
    monkeypatch.setenv("COLUMNS", "200")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()
