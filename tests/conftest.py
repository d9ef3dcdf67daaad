"""Shared fixtures: the photographs of ../shared, leaked tasks as failures."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from infra.stack.broker import Broker, start_broker
from infra.stack.minio_local import start_minio
from infra.stack.postgres_local import LocalPostgres, start_postgres
from infra.stack.s3_local import LocalS3, start_s3
from tests.infra.needs import need_minio
from tests.opcua_servers import quick_servers

settings.register_profile("no-clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-clock")
"""A busy machine draws examples slowly; that says nothing about the code."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs; skips where it is absent."""
    folder = Path(os.environ.get("ANDON_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set ANDON_SHARED")
    return folder


@pytest.fixture(scope="session", autouse=True)
def opcua_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of OPC UA share what all of them have, and end at once."""
    with quick_servers(tmp_path_factory.mktemp("opcua")):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every coroutine test gets the check for leaked tasks, before and after its other fixtures."""
    for item in items:
        if item.get_closest_marker("asyncio") is not None and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "no_leaked_tasks")


@pytest_asyncio.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """A coroutine test that leaves a task running fails."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = [
        t for t in asyncio.all_tasks() - before if not t.done() and t is not asyncio.current_task()
    ]
    assert not left, f"leaked tasks: {left}"


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One embedded Kafka broker for all tests: use topics or keys of your own."""
    with start_broker() as running:
        yield running


@pytest.fixture
def fresh_broker() -> Iterator[Broker]:
    """An empty broker of this test's own (about 70 ms)."""
    with start_broker() as running:
        yield running


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that goes away after the test, however large (``tmp_path`` keeps three runs)."""
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """The embedded PostgreSQL, one for the whole run; make a database of your own in it.

    It waits for no disk, for its databases are gone before the machine could lose its power.
    """
    with (
        tempfile.TemporaryDirectory(prefix="andon-") as folder,
        start_postgres(Path(folder) / "postgres") as running,
    ):
        asyncio.run(_wait_for_no_disk(running))
        yield running


async def _wait_for_no_disk(server: LocalPostgres) -> None:
    link = await asyncpg.connect(server.database_url("postgres").replace("+asyncpg", ""))
    for setting in ("fsync", "full_page_writes"):
        await link.execute(f"ALTER SYSTEM SET {setting} = off")
    await link.execute("SELECT pg_reload_conf()")
    await link.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[LocalS3]:
    """The embedded S3, one for the whole run; make a bucket of your own in it."""
    with (
        tempfile.TemporaryDirectory(prefix="andon-") as folder,
        start_s3(Path(folder) / "s3") as running,
    ):
        yield running


@pytest.fixture(scope="session")
def minio() -> Iterator[LocalS3]:
    """A real MinIO, one for the whole run; skips where there is none."""
    need_minio()
    with (
        tempfile.TemporaryDirectory(prefix="andon-") as folder,
        start_minio(Path(folder) / "minio") as running,
    ):
        yield running
