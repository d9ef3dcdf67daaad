"""One refusal of each backend is one dead letter, and no other event waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from sqlalchemy import text

from history.database import make_engine
from history.object_store import S3ImageStore, S3Objects
from history.writer import PostgresHistoryWriter
from streams.codes import Stage
from streams.envelope import Message
from streams.events import Anomaly, DeadLetter
from streams.failures import Cause
from streams.ids import dead_letter_key, image_key
from streams.kafka.delivery import dead_letter, refused_letter
from streams.ports import HistoryWriter, ImageStore
from streams.roles.record import RecordRole
from streams.topics import ALERTS, ANOMALIES, DEAD, DECISIONS, SHOTS
from tests.contracts.refusing_s3 import RefusingS3, refusing_s3
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history.conftest import template, url
from tests.streams.conftest import Bench
from tests.streams.made import ODD, delivery, frame, inspection
from tests.streams.roles.test_record import arrived, decision

__all__ = ["template", "url"]
MakeBench = Callable[..., Bench]
MOST_S = 60.0
"""No event may wait longer for another one that is refused."""


@pytest.fixture
def bench_of(bench: MakeBench) -> MakeBench:
    return bench


@pytest.fixture
def s3() -> Iterator[RefusingS3]:
    with refusing_s3() as server:
        yield server


def anomaly() -> Anomaly:
    return Anomaly(frame=frame(), inspection=inspection(True))


def recorder(bench: Bench, history: HistoryWriter, images: ImageStore) -> RecordRole:
    return RecordRole(history, images, bench.results, batch_wait_s=0.02)


def letters(bench: Bench) -> list[tuple[str, str]]:
    """Topic and error of each dead letter."""
    found = [letter for letter, _ in bench.publisher.of(DEAD.name)]
    return [(x.topic, x.error_type) for x in found if isinstance(x, DeadLetter)]


async def beside_others(bench: Bench, call: Awaitable[None]) -> None:
    """The call, while other messages get through."""
    refused = asyncio.ensure_future(call)
    while not refused.done():
        await bench.results.send(SHOTS.name, Message(b"k", b"{}", ()))
        await asyncio.sleep(0.005)
    await refused


async def flows(*calls: Awaitable[None]) -> None:
    async with asyncio.timeout(MOST_S):
        await asyncio.gather(*calls)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "named"),
    [(400, "INVALID"), (403, "NOT_ALLOWED"), (404, "NOT_PREPARED"), (500, "AWAY")],
)
async def test_the_object_store_refuses_one_picture(
    bench_of: MakeBench, s3: RefusingS3, status: int, named: str
) -> None:
    """A 404 and a 500 may be an outage: what gets through beside it shows that they are not."""
    bench, history = bench_of(Stage.RECORD, retry_cap_s=0.05), TwinHistory()
    store = S3ImageStore(S3Objects(s3.address, "a", "b", timeout_s=5.0))
    role = recorder(bench, history, store)
    bad, good = anomaly(), [anomaly() for _ in range(40)]
    s3.refuses[image_key(bad.frame.frame_id)] = status
    refused = asyncio.create_task(role.handle(delivery(bad, ODD)))
    for other in good:
        await flows(role.handle(delivery(other, ODD)), role.handle(delivery(decision())))
        if refused.done():
            break
    await flows(refused)
    assert letters(bench) == [(ANOMALIES.name, named)]
    assert (bad.frame.frame_id, bad.reason) not in history.anomalies
    await role.close()
    await store.close()


@pytest.mark.asyncio
async def test_postgresql_refuses_one_row(bench_of: MakeBench, url: str) -> None:
    engine, writer = make_engine(url), PostgresHistoryWriter(url)
    await writer.add_decisions([decision()])
    async with engine.begin() as link:
        await link.execute(text("ALTER TABLE decision ADD CHECK (part_id <> 'poison')"))
    bench = bench_of(Stage.RECORD, retry_cap_s=0.05)
    role = recorder(bench, writer, InMemoryImageStore())
    parts = [*(f"P-{n}" for n in range(30)), "poison", *(f"Q-{n}" for n in range(30))]
    await flows(*(role.handle(delivery(decision(part))) for part in parts))
    assert letters(bench) == [(DECISIONS.name, "INVALID")]
    async with engine.connect() as link:
        count = await link.scalar(text("SELECT count(*) FROM decision WHERE part_id ~ '^[PQ]-'"))
    assert count == 61
    await role.close()
    await writer.close()
    await engine.dispose()


@pytest.mark.asyncio
@pytest.mark.parametrize("cause", [c for c in Cause if c.is_permanent])
async def test_the_broker_refuses_one_topic(bench_of: MakeBench, cause: Cause) -> None:
    """As a missing ACL, or a topic whose limit is smaller than the message."""
    bench = bench_of(retry_cap_s=0.05)
    bench.publisher.refuses[DECISIONS.name] = cause
    refused = decision("P-refused")
    await flows(beside_others(bench, bench.results.decision(refused)))
    ((letter, value),) = bench.publisher.of(DEAD.name)
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, letter.error_type) == (DECISIONS.name, cause.name)
    assert b"P-refused" in value
    assert letter.original_headers["ce_id"] == str(refused.result_id)
    assert letter.frame_id == refused.frame_id
    assert (letter.partition, letter.offset) == (-1, -1)


@pytest.mark.asyncio
async def test_a_letter_that_is_too_large_goes_without_the_original(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.publisher.most_bytes = 1000
    original = delivery(frame(), bytes(5000))
    await flows(bench.results.dead_letter(original, "E", "why"))
    ((letter, value),) = bench.publisher.of(DEAD.name)
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, value) == (original.topic, b"")


@pytest.mark.asyncio
async def test_a_letter_that_is_refused_ends_in_the_log(bench_of: MakeBench) -> None:
    bench = bench_of(retry_cap_s=0.05)
    bench.publisher.refuses = {DEAD.name: Cause.NOT_ALLOWED, ALERTS.name: Cause.NOT_ALLOWED}
    refused = bench.results.dead_letter(delivery(frame(), b"x"), "E", "why")
    await flows(beside_others(bench, refused))
    assert "a dead letter was refused" in bench.logged


@pytest.mark.asyncio
async def test_a_dead_letter_has_its_row_without_its_bytes(bench_of: MakeBench) -> None:
    bench, history, store = bench_of(Stage.RECORD), TwinHistory(), InMemoryImageStore()
    role = recorder(bench, history, store)
    made = decision()
    letter = dead_letter(delivery(frame(), b"raw"), Stage.INSPECT, "E", "why", made.decided_at)
    (identity,) = [v for k, v in letter.headers if k == "ce_id"]
    store.refuses[f"dead/{identity.decode()}"] = Cause.INVALID
    await flows(role.handle(arrived(letter)))
    ((kept, key),) = history.letters.values()
    assert key == dead_letter_key(kept.letter_id)
    assert bench.publisher.sent == [], "a dead letter must not breed"
    await role.close()


def test_a_message_that_was_never_taken_is_one_letter_however_often_it_is_tried() -> None:
    from streams.envelope import from_message, to_message

    made = decision()
    found = [
        from_message(
            DeadLetter,
            b"",
            refused_letter(
                DECISIONS.name, to_message(made), Stage.GATEWAY, "E", "why", made.decided_at
            ).headers,
        )
        for _ in range(2)
    ]
    assert found[0].letter_id == found[1].letter_id
