"""Rights that are withdrawn while a role works: it waits, sets nothing aside, and goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from history.object_store import S3ImageStore, S3Objects
from history.writer import PostgresHistoryWriter
from streams.codes import Stage
from streams.events import Anomaly
from streams.failures import Cause
from streams.ids import image_key
from streams.roles.record import RecordRole
from streams.topics import DEAD, DECISIONS
from tests.contracts.refusing_s3 import RefusingS3, refusing_s3
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history.conftest import template, url
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.streams.roles.test_record import decision
from tests.waiting import until

__all__ = ["template", "url"]
MakeBench = Callable[..., Bench]
TRIES = 10
"""More than a message has beside others that get through."""


@pytest.fixture
def s3() -> Iterator[RefusingS3]:
    with refusing_s3() as server:
        yield server


def waited(bench: Bench, what: str) -> bool:
    return bench.value("andon_retries_total", what=what) >= TRIES


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [403, 507])
async def test_a_bucket_that_takes_nothing_is_waited_for(
    bench: MakeBench, s3: RefusingS3, status: int
) -> None:
    """A policy that denies every PutObject, and a quota that is reached."""
    made, history = bench(Stage.RECORD, retry_cap_s=0.02), TwinHistory()
    store = S3ImageStore(S3Objects(s3.address, "a", "b", timeout_s=5.0))
    role = RecordRole(history, store, made.results, batch_wait_s=0.01)
    s3.refuses["/image"] = status
    odd = [Anomaly(frame=frame(part_id=f"P-{n}"), inspection=inspection(True)) for n in range(3)]
    waiting = asyncio.gather(*(role.handle(delivery(one, ODD)) for one in odd))
    await until(lambda: waited(made, "objects"), 20, "it is tried again and again")
    assert (waiting.done(), made.publisher.sent, history.anomalies) == (False, [], {})
    assert made.logged == ["away"], "said once"
    s3.refuses.clear()
    await asyncio.wait_for(waiting, 20)
    keys = [f"/andon/{image_key(one.frame.frame_id)}" for one in odd]
    assert [s3.objects[key] for key in keys] == [ODD] * 3
    assert (len(history.anomalies), made.publisher.sent) == (3, [])
    assert made.logged == ["away", "back"]
    await role.close()
    await store.close()


@asynccontextmanager
async def superuser(url: str) -> AsyncIterator[asyncpg.Connection]:
    link = await asyncpg.connect(url.replace("+asyncpg", ""))
    yield link
    await link.close()


@pytest.mark.asyncio
async def test_a_database_without_its_rights_is_waited_for(bench: MakeBench, url: str) -> None:
    """As after `andon history restore`, before `andon history grant`."""
    made = bench(Stage.RECORD, retry_cap_s=0.02)
    name = f"recorder_{url.rsplit('_', 1)[1]}"
    async with superuser(url) as link:
        await link.execute(f"CREATE ROLE {name} LOGIN")
        writer = PostgresHistoryWriter(url.replace("postgres@", f"{name}@"), migrate=False)
        role = RecordRole(writer, InMemoryImageStore(), made.results, batch_wait_s=0.01)
        waiting = asyncio.gather(*(role.handle(delivery(decision(f"P-{n}"))) for n in range(3)))
        await until(lambda: waited(made, "history"), 20, "it is tried again and again")
        assert (waiting.done(), made.publisher.sent) == (False, [])
        await link.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        await asyncio.wait_for(waiting, 20)
        assert await link.fetchval("SELECT count(*) FROM part_fact") == 3
        await role.close()
        await writer.close()
        await link.execute(f"DROP OWNED BY {name}")
        await link.execute(f"DROP ROLE {name}")
    assert (made.publisher.sent, made.logged) == ([], ["away", "back"])


@pytest.mark.asyncio
async def test_a_broker_that_allows_nothing_is_waited_for(bench: MakeBench) -> None:
    """Where not even a dead letter may be written, an event would end in the log alone."""
    made = bench(retry_cap_s=0.02)
    made.publisher.refuses = {DECISIONS.name: Cause.NOT_ALLOWED, DEAD.name: Cause.NOT_ALLOWED}
    waiting = asyncio.ensure_future(made.results.decision(decision()))
    await until(lambda: waited(made, "publish"), 20, "it is tried again and again")
    assert (waiting.done(), made.logged) == (False, ["away"])
    made.publisher.refuses = {}
    await asyncio.wait_for(waiting, 20)
    assert [topic for topic, _ in made.publisher.sent] == [DECISIONS.name]
