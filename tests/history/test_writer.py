"""Writing: idempotent, in any order, hostile text, concurrency, a database that goes away."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.database import make_engine
from history.errors import HistoryError, RefusedRowError
from history.migrate import upgrade
from history.queries import History
from history.writer import PostgresHistoryWriter
from infra.stack.postgres_local import LocalPostgres, start_postgres
from streams.codes import DecisionSource
from streams.errors import UnavailableError
from streams.events import Acknowledgement
from tests.history import make

HOSTILE = [
    "'; DROP TABLE decision; --",
    "P\n1\r\t2",
    "🏭👩‍🔧 ключ 部品",
    "%s :name {x} $1",
    "a" * 512,
    "🧱" * 512,
    "",
    '"quoted" \\ back',
]


async def rows(engine: AsyncEngine, sql: str) -> list[Any]:
    async with engine.connect() as link:
        return list(await link.execute(text(sql)))


@pytest.mark.asyncio
@pytest.mark.parametrize("words", HOSTILE)
async def test_text_is_data(writer: PostgresHistoryWriter, engine: AsyncEngine, words: str) -> None:
    event = make.decision(1, part_id=words, lot_id=words, reason=words, future={"field": [words]})
    await writer.add_decisions([event])
    found = await rows(
        engine,
        "SELECT part_id, lot_id, reason, event->>'part_id', event->'future'->'field'->>0 "
        "FROM decision",
    )
    assert found == [(words,) * 5]


@pytest.mark.asyncio
@pytest.mark.parametrize("unfit", ["\x00", "\ud800"])
async def test_what_postgres_cannot_hold_is_marked_and_the_rest_is_kept(
    writer: PostgresHistoryWriter, engine: AsyncEngine, unfit: str
) -> None:
    words = f"a{unfit}b🧱"
    seen = "a\N{REPLACEMENT CHARACTER}b🧱"
    event = make.decision(1, future=words, nested={f"n{unfit}": [words]})
    if unfit == "\x00":
        event = event.model_copy(update={"part_id": words, "reason": words})
    await writer.add_decisions([event, make.decision(2)])
    found = await rows(
        engine,
        "SELECT event->>'future', part_id, event->>'part_id', event->'nested' "
        "FROM decision ORDER BY 1",
    )
    assert len(found) == 2
    assert found[0][0] == seen
    assert found[0][3] == {"n\N{REPLACEMENT CHARACTER}": [seen]}
    assert found[0][1] == found[0][2] == (seen if unfit == "\x00" else "P0000001")


@pytest.mark.asyncio
async def test_a_backslash_u0000_in_words_is_no_nul(
    writer: PostgresHistoryWriter, engine: AsyncEngine
) -> None:
    await writer.add_decisions([make.decision(1, part_id=r"\u0000")])
    assert await rows(engine, "SELECT part_id, event->>'part_id' FROM decision") == [
        (r"\u0000", r"\u0000")
    ]


@pytest.mark.asyncio
async def test_an_acknowledgement_is_told_whole_though_its_columns_are_written_once(
    writer: PostgresHistoryWriter, engine: AsyncEngine, history: History
) -> None:
    decision = make.decided(1, DecisionSource.EXPERT)
    told = make.acknowledgement(decision, detail="in time", later_field=7, site="Ulm")
    await writer.add_decisions([decision])
    await writer.add_acknowledgements([told])
    ((kept,),) = await rows(engine, "SELECT event FROM acknowledgement")
    assert (kept["later_field"], kept["detail"]) == (7, "in time")
    assert not set(kept) & {"line", "part_id", "captured_at", "action", "written_at"}
    story = await history.show(told.frame_id)
    assert [Acknowledgement.model_validate(event) for event in story.acknowledgements] == [told]


@pytest.mark.asyncio
async def test_a_value_that_no_row_can_hold_is_named_and_the_others_are_in(
    writer: PostgresHistoryWriter, engine: AsyncEngine
) -> None:
    letters = [(make.dead_letter(n, offset=n), "dead") for n in range(3)]
    unbounded = make.dead_letter(1).model_copy(update={"offset": 1 << 70})
    letters[1] = (unbounded, "dead")
    with pytest.raises(RefusedRowError, match="1 of 3 rows"):
        await writer.add_dead_letters(letters)
    assert (await rows(engine, "SELECT count(*) FROM dead_letter"))[0][0] == 2


@pytest.mark.asyncio
async def test_overlapping_writers_neither_deadlock_nor_double(
    url: str, engine: AsyncEngine
) -> None:
    writers = [PostgresHistoryWriter(url, pool_size=2) for _ in range(3)]
    events = [make.decision(n) for n in range(300)]
    orders = [random.Random(seed).sample(events, len(events)) for seed in range(9)]
    await asyncio.gather(*(writers[i % 3].add_decisions(order) for i, order in enumerate(orders)))
    for writer in writers:
        await writer.close()
    assert (await rows(engine, "SELECT count(*) FROM decision"))[0][0] == 300


_SLEEPING = """
CREATE FUNCTION sleep_long() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END';
CREATE TRIGGER sleeping BEFORE INSERT ON decision EXECUTE FUNCTION sleep_long()"""


@pytest.mark.asyncio
async def test_a_database_killed_mid_batch_is_unavailable_and_then_catches_up(
    scratch: Path,
) -> None:
    server = start_postgres(scratch / "pg")
    await upgrade(server.url)
    writer = PostgresHistoryWriter(server.url, timeout_s=60.0)
    events = [make.decision(n) for n in range(20_000)]
    await writer.add_decisions(events[:10])
    link = await asyncpg.connect(server.url.replace("+asyncpg", ""))
    await link.execute(_SLEEPING)  # a backend that sleeps ends with its server, and no sooner
    await link.close()
    batch = asyncio.create_task(writer.add_decisions(events))
    await asyncio.to_thread(_kill_while_a_backend_inserts, server)
    with pytest.raises(UnavailableError, match="writing 20000 rows of decision"):
        await batch
    with pytest.raises(UnavailableError):
        await writer.add_decisions(events[:1])
    with start_postgres(scratch / "pg", server.port):
        link = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        await link.execute("DROP TRIGGER sleeping ON decision")
        await link.close()
        await writer.add_decisions(events[:500])
        async with writer._engine.connect() as link:
            count = (await link.execute(text("SELECT count(*) FROM decision"))).scalar()
        assert count == 500
        await writer.close()


def _kill_while_a_backend_inserts(server: LocalPostgres) -> None:
    """Kill from the thread that saw it: the event loop may be too busy to be told in time."""
    deadline = time.monotonic() + 30
    while not _backend_busy(server.pid):
        assert time.monotonic() < deadline, "no INSERT was seen"
        time.sleep(0.001)
    server.kill()


def _backend_busy(pid: int) -> bool:
    """Whether a backend of that server is inside an INSERT: its title says so."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
            parent = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid and b" INSERT" in words:
            return True
    return False


@pytest.mark.asyncio
async def test_no_tables_no_server_and_a_wrong_driver_say_what_to_do(empty_url: str) -> None:
    writer = PostgresHistoryWriter(empty_url, migrate=False)
    with pytest.raises(UnavailableError, match="andon worker record"):
        await writer.add_decisions([make.decision(1)])
    await writer.close()
    nowhere = PostgresHistoryWriter("postgresql+asyncpg://u:hush@127.0.0.1:1/andon", timeout_s=2)
    with pytest.raises(UnavailableError) as caught:
        await nowhere.add_decisions([make.decision(1)])
    assert "hush" not in str(caught.value)
    await nowhere.close()
    with pytest.raises(HistoryError, match="postgresql\\+asyncpg"):
        PostgresHistoryWriter("mysql://u:hush@h/db")


@pytest.mark.asyncio
async def test_the_first_batches_bring_the_schema(empty_url: str) -> None:
    writers = [PostgresHistoryWriter(empty_url) for _ in range(2)]
    await asyncio.gather(
        *(writers[n % 2].add_decisions([make.decision(n)]) for n in range(8)),
        *(writers[n % 2].add_reviews([make.review(n)]) for n in range(8)),
    )
    async with writers[0]._engine.connect() as link:
        assert (await link.execute(text("SELECT count(*) FROM frame_history"))).scalar() == 8
    for writer in writers:
        await writer.close()


@pytest.mark.asyncio
async def test_a_role_without_rights_is_told_apart_from_a_bad_row(
    url: str,
) -> None:
    engine = make_engine(url)
    async with engine.begin() as link:
        await link.execute(text("DROP ROLE IF EXISTS guest"))
        await link.execute(text("CREATE ROLE guest LOGIN"))
        await link.execute(text("GRANT SELECT ON history_version TO guest"))
    await engine.dispose()
    guest = PostgresHistoryWriter(url.replace("postgres@", "guest@"))
    with pytest.raises(RefusedRowError, match="not allowed: InsufficientPrivilege"):
        await guest.add_decisions([make.decision(1)])
    await guest.close()
