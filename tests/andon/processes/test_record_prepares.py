"""The role record makes schema and bucket when it starts, before any event asks for them."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from andon.processes.worker import Started, open_role, role_config
from andon.settings import Settings
from andon.wiring import storage
from history.migrate import current, head
from infra.stack.postgres_local import LocalPostgres
from infra.stack.process import free_port
from infra.stack.s3_local import LocalS3
from streams.errors import UnavailableError
from streams.roles.config import FlowConfig
from tests.streams.conftest import Bench
from tests.waiting import until

pytestmark = pytest.mark.asyncio


def told(postgres_url: str, s3_endpoint: str, s3: LocalS3) -> Settings:
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    store = {"endpoint": s3_endpoint, "bucket": f"prepared-{uuid4().hex[:8]}", **keys}
    return Settings.model_validate({"postgres": {"url": postgres_url}, "s3": store})


async def test_schema_and_bucket_are_there_before_the_first_event(
    postgres: LocalPostgres, s3: LocalS3
) -> None:
    b, name = Bench(FlowConfig(retry_s=0.01)), f"prepared_{uuid4().hex}"
    url = postgres.database_url(name)
    settings = told(url, s3.endpoint, s3)
    objects = storage.s3_objects(settings)
    async with open_role(settings, Started(role_config("record", settings)), b.results):
        await until(lambda: "away" in b.logged, 30.0, "the absent database is told")
        with pytest.raises(UnavailableError, match="no such database"):
            await current(url)
        link = await asyncpg.connect(postgres.database_url("postgres").replace("+asyncpg", ""))
        await link.execute(f"CREATE DATABASE {name}")
        await link.close()
        await until(lambda: "back" in b.logged, 60.0, "the schema is made")
        assert await current(url) == head()
        await until(objects.has_bucket, 30.0, "the bucket is made")
    await asyncio.to_thread(objects.close)


async def test_stores_that_are_away_are_told_at_the_start(s3: LocalS3) -> None:
    b, nobody = Bench(FlowConfig(retry_s=0.01)), f"127.0.0.1:{free_port()}"
    settings = told(f"postgresql://andon@{nobody}/andon", nobody, s3)
    async with open_role(settings, Started(role_config("record", settings)), b.results):
        await until(lambda: b.logged.count("away") == 2, 30.0, "database and object store are told")
