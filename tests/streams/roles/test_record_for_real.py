"""The record role over PostgreSQL and S3: the same promises as over the twins."""

import asyncio
from collections.abc import Callable

import pytest
import sqlalchemy
import sqlalchemy.ext.asyncio

from history.database import make_engine
from history.migrate import upgrade
from history.object_store import S3ImageStore, S3Objects
from history.writer import PostgresHistoryWriter
from infra.stack.postgres_local import LocalPostgres
from infra.stack.s3_local import LocalS3
from streams.events import Anomaly
from streams.ids import image_key, mask_key
from streams.roles.record import RecordRole
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.streams.roles.test_record import decision


async def rows(url: str, table: str) -> int:
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            query = sqlalchemy.text(f"SELECT count(*) FROM {table}")
            return int((await connection.execute(query)).scalar_one())
    finally:
        await engine.dispose()


async def create_database(url: str, name: str) -> None:
    engine = sqlalchemy.ext.asyncio.create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    finally:
        await engine.dispose()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_rows_and_objects_are_kept_once(
    bench: Callable[..., Bench], postgres: LocalPostgres, s3: LocalS3
) -> None:
    b = bench()
    await create_database(postgres.database_url("postgres"), "record_role")
    url = postgres.database_url("record_role")
    await upgrade(url)
    history = PostgresHistoryWriter(url)
    objects = S3Objects(s3.endpoint, s3.access_key, s3.secret_key, bucket="record")
    store = S3ImageStore(objects)
    role = RecordRole(history, store, b.results)
    anomaly = Anomaly(frame=frame(), inspection=inspection(True))
    nasty = decision("'; DROP TABLE decision;--\n\x00 🦀")
    events = [delivery(anomaly, ODD), delivery(nasty), delivery(decision()), delivery(decision())]
    try:
        for _ in range(2):
            await asyncio.gather(*(role.handle(event) for event in events))
        assert await rows(url, "anomaly") == 1
        assert await rows(url, "decision") == 3
        assert not b.publisher.sent, "nothing was refused"
        assert await store.get(image_key(anomaly.frame.frame_id)) == ODD
        assert (await store.get(mask_key(anomaly.frame.frame_id))).startswith(b"\x89PNG")
    finally:
        await role.close()
        await store.close()
        await history.close()
