"""A migrated database of its own for each test, copied from a template."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import cv2
import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from andon.settings import load_settings
from history.database import make_engine
from history.migrate import upgrade
from history.object_store import S3ImageStore, S3Objects
from history.queries import History
from history.writer import PostgresHistoryWriter
from infra.stack.broker import Broker
from infra.stack.postgres_local import LocalPostgres
from infra.stack.s3_local import LocalS3
from streams.codes import Action, DecisionSource
from streams.ids import image_key, mask_key
from streams.roles.pictures import mask_png
from tests.history import make
from tests.history.commands import HOSTILE


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
    admin(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
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


@pytest_asyncio.fixture
async def filled(
    url: str, s3: LocalS3, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Three frames: a scrapped one with pictures, a passed one, one with a hostile serial."""
    for name, value in (
        ("POSTGRES__URL", url),
        ("S3__ENDPOINT", s3.endpoint),
        ("S3__BUCKET", "history-commands"),
        ("KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers),
    ):
        monkeypatch.setenv(f"ANDON_{name}", value)
    load_settings.cache_clear()
    scrapped = make.decision(
        1, DecisionSource.CLASSIFIER, Action.SCRAP, "crack", reason="crack, 0.90 sure"
    )
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions(
        [scrapped, make.decision(2), make.decision(3, part_id=HOSTILE, line="line-2")]
    )
    await writer.add_acknowledgements([make.acknowledgement(scrapped)])
    await writer.add_anomalies([make.anomaly(1)])
    await writer.close()
    picture = cv2.imencode(".png", np.full((64, 64), 40_000, np.uint16))[1].tobytes()
    objects = S3Objects(s3.endpoint, s3.access_key, s3.secret_key, bucket="history-commands")
    store = S3ImageStore(objects)
    await store.put(image_key(make.frame_id(1)), picture, "image/png")
    await store.put(mask_key(make.frame_id(1)), mask_png(make.region()), "image/png")
    await store.close()
    yield
    load_settings.cache_clear()
