"""What the history costs: ``.venv/bin/python -m tests.history.benchmark --rows 1000000``.

Starts an embedded PostgreSQL of its own, writes in batches, multiplies the rows in the database,
then asks and streams. Prints one line per figure.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from history.filters import FrameFilter
from history.migrate import upgrade
from history.queries import History
from history.writer import PostgresHistoryWriter
from infra.stack.postgres_local import start_postgres
from streams.codes import Action, DecisionSource
from tests.history import make

SEED_ROWS = 1000
SECONDS = 1000


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - a report


async def insert(writer: PostgresHistoryWriter) -> None:
    """Decisions per second by batch size; the events are there, as they are for record."""
    start = 0
    for size, count in ((1, 300), (16, 1600), (100, 5000), (1000, 10_000)):
        events = [
            make.decision(n, DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
            for n in range(start, start + count)
        ]
        start += count
        wall, cpu = time.perf_counter(), time.process_time()
        for at in range(0, count, size):
            await writer.add_decisions(events[at : at + size])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        say(f"insert, batch {size}: {count / wall:.0f} rows/s, {cpu / count * 1e6:.0f} us CPU each")


@asynccontextmanager
async def timed(what: str) -> AsyncIterator[None]:
    start = time.perf_counter()
    yield
    say(f"{what}: {time.perf_counter() - start:.2f} s")


async def multiply(writer: PostgresHistoryWriter, rows: int) -> None:
    """A thousand frames and their acknowledgements, again and again, 1,000 s later each time."""
    numbers = range(SEED_ROWS)
    events = [
        make.decision(n, DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
        if n % 3 == 0
        else make.decision(n)
        for n in numbers
    ]
    async with writer._engine.begin() as link:
        await link.execute(text("TRUNCATE decision, acknowledgement"))
    await writer.add_decisions(events)
    await writer.add_acknowledgements([make.acknowledgement(e) for e in events])
    for table in ("decision", "acknowledgement"):
        names = (
            "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = CAST(:t AS regclass) AND attnum > 0"
        )
        async with writer._engine.begin() as link:
            columns = str((await link.execute(text(names), {"t": table})).scalar()).split(",")
            await link.execute(text(f"CREATE TABLE seed_{table} AS SELECT * FROM {table}"))
        other = {name: f"md5({name}::text || g)::uuid" for name in ("frame_id", "result_id")}
        other |= {n: f"{n} + g * interval '{SECONDS} s'" for n in ("captured_at", "decided_at")}
        picked = ", ".join(other.get(name, name) for name in columns)
        copy = text(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {picked} "
            f"FROM generate_series(CAST(:low AS int), CAST(:high AS int)) g, seed_{table}"
        )
        for low in range(1, rows // SEED_ROWS, 20):
            high = min(low + 19, rows // SEED_ROWS - 1)
            async with writer._engine.begin() as link:
                await link.execute(copy, {"low": low, "high": high})
    async with writer._engine.connect() as link:
        await link.execution_options(isolation_level="AUTOCOMMIT")
        await link.execute(text("ANALYZE"))


async def ask(history: History, rows: int) -> None:
    """Pages, statistics, gaps."""
    for wanted in (
        FrameFilter(),
        FrameFilter(passed=False),
        FrameFilter(class_name="crack"),
        FrameFilter(part_id="P0000007"),
        FrameFilter(reviewed=True),
        FrameFilter(source="fallback"),
    ):
        asked = {k: v for k, v in vars(wanted).items() if v is not None}
        async with timed(f"page of 50, {asked or 'all'}"):
            await history.list_frames(wanted)
    async with timed("stats of the last tenth"):
        await history.stats(FrameFilter(since=make.captured(rows - rows // 10)))
    async with timed("stats of all"):
        await history.stats()
    async with timed("gaps"):
        assert (await history.gaps()).complete


async def stream(history: History) -> None:
    """Every decision as a back-test reads it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu, count = time.perf_counter(), time.process_time(), 0
    async for _ in history.stream_decisions():
        count += 1
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say(
        f"stream_decisions: {count} in {wall:.1f} s ({count / wall:.0f}/s), {cpu:.1f} s CPU here; "
        f"peak RSS {after / 1024:.0f} MiB, {before / 1024:.0f} before"
    )


async def main(rows: int, folder: Path) -> None:
    with start_postgres(folder / "pg") as server:
        await upgrade(server.url)
        writer = PostgresHistoryWriter(server.url, timeout_s=300)
        history = History(server.url, timeout_s=300)
        await insert(writer)
        async with timed(f"{rows} rows generated"):
            await multiply(writer, rows)
        await ask(history, rows)
        await stream(history)
        await history.close()
        await writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="a multiple of 1,000")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="andon-") as scratch:
        asyncio.run(main(given.rows, Path(scratch)))
