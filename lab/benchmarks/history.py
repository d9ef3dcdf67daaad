"""The history at the size of a plant's years: questions, views, pages and recording, in seconds.

An embedded PostgreSQL of its own is filled by COPY, and its facts are written by the function that
the triggers call. Questions go through ``History`` as the commands ask them; each figure is a
median of several.
"""

import asyncio
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from history.bi import apply_bi
from history.filters import FrameFilter
from history.migrate import upgrade
from history.plant_times import PlantTimes
from history.queries import History
from history.statistics import ParetoBy
from history.writer import PostgresHistoryWriter
from infra.stack.postgres_local import start_postgres
from lab.benchmarks.history_parts import (
    CopiedRecords,
    captured_at,
    frame_id,
    made_acknowledgement,
    made_decisions,
)
from streams.errors import AndonError

Say = Callable[[str], object]
Figures = dict[str, float | int | bool | str]
BYTES_A_PART = 5_500
"""Disk that a part needs with its share of the write-ahead log, generously."""
_CHUNK = 5000
_BATCH = 200
_STEADY_PER_S = 1000
_WAIT_S = 600.0
_PART_QUESTION = "SELECT class_name, local_day, count(*) FROM bi.part GROUP BY 1, 2"


class TooLittleDiskError(AndonError):
    """The folder has no room for so many parts."""


@dataclass(frozen=True)
class HistoryBenchmark:
    """What is measured.

    Args:
        parts: parts in the database.
        rounds: how often each question is asked, and each way of recording tried.
        record: parts that one round records.
        pages: pages that are listed for the percentile.
        sustain_s: seconds of recording at a steady 1,000 decisions/s, acknowledgements and facts
            included; 0 leaves it out.
    """

    parts: int = 1_000_000
    rounds: int = 5
    record: int = 4000
    pages: int = 40
    sustain_s: float = 0.0


async def benchmark_history(options: HistoryBenchmark, folder: Path, say: Say) -> Figures:
    """Fill a database in ``folder`` and measure it.

    Raises:
        TooLittleDiskError: before anything is written.
    """
    enough_disk(options.parts, folder)
    with start_postgres(folder / "postgres") as server:
        await upgrade(server.url)
        await apply_bi(server.url, PlantTimes(time_zone="Europe/Berlin"))
        plain = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        history = History(server.url, timeout_s=_WAIT_S)
        try:
            figures = await fill_history(plain, options.parts, say)
            figures |= await _ask(history, plain, options, say)
            figures |= await _record(server.url, plain, options, say)
            say("comparing facts and recorded events")
            begun = time.perf_counter()
            gaps = await history.gaps()
            figures["check_s"] = round(_seconds(begun), 1)
            figures["facts_true"] = not (gaps.false_facts or gaps.false_counts)
        finally:
            await history.close()
            await plain.close()
    return figures


def enough_disk(parts: int, folder: Path) -> None:
    """Refuse to fill a folder that has no room.

    Raises:
        TooLittleDiskError: it has not.
    """
    needed, free = parts * BYTES_A_PART, shutil.disk_usage(folder).free
    if needed > free:
        raise TooLittleDiskError(
            f"{parts} parts need about {needed / 1e9:.0f} GB, {folder} has "
            f"{free / 1e9:.0f} GB: choose fewer parts or another --folder"
        )


async def fill_history(plain: asyncpg.Connection, parts: int, say: Say) -> Figures:
    """COPY events with the triggers off, then write the facts of each chunk at once."""
    await plain.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda words: b"\x01" + words.encode(),
        decoder=lambda data: data[1:].decode(),
    )
    records, begun, told = CopiedRecords(), time.perf_counter(), 0.0
    await _switch_triggers(plain, on=False)
    for low in range(0, parts, _CHUNK):
        numbers = range(low, min(low + _CHUNK, parts))
        async with plain.transaction():
            for table, found in records.of(numbers):
                await plain.copy_records_to_table(
                    table, records=found, columns=records.columns[table]
                )
            await plain.execute("SELECT refresh_facts($1)", [frame_id(n) for n in numbers])
        if _seconds(begun) - told > 10:
            told = _seconds(begun)
            say(f"{numbers.stop} of {parts} parts, {numbers.stop / told:.0f}/s")
    await _switch_triggers(plain, on=True)
    seconds = _seconds(begun)
    await plain.execute("VACUUM ANALYZE")
    size = await plain.fetchval("SELECT pg_database_size(current_database())")
    counts = await plain.fetchval("SELECT count(*) FROM part_count")
    return {
        "parts": parts,
        "fill_parts_per_s": round(parts / seconds),
        "database_gb": round(size / 1e9, 2),
        "count_rows": counts,
    }


async def _ask(
    history: History, plain: asyncpg.Connection, options: HistoryBenchmark, say: Say
) -> Figures:
    """Statistics, Pareto and each view: medians; pages by several filters: the 95th percentile."""
    month = FrameFilter(since=captured_at(max(options.parts - 1_000_000, 0)))
    lot = FrameFilter(lot_id=f"L{options.parts // 4000}")
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "stats_of_all_s": history.stats,
        "stats_of_the_last_30_days_s": lambda: history.stats(month),
        "stats_of_a_lot_s": lambda: history.stats(lot),
        "pareto_by_class_s": lambda: history.pareto(FrameFilter(passed=False)),
        "pareto_by_rule_s": lambda: history.pareto(by=ParetoBy.RULE),
        "bi_part_by_class_and_day_s": lambda: plain.fetch(_PART_QUESTION),
        "bi_part_newest_1000_s": lambda: plain.fetch(
            "SELECT * FROM bi.part ORDER BY captured_at DESC LIMIT 1000"
        ),
    }
    views = await plain.fetch(
        "SELECT table_name AS name FROM information_schema.views "
        "WHERE table_schema = 'bi' AND table_name <> 'part' ORDER BY 1"
    )
    for view in views:
        questions[f"bi_{view['name']}_s"] = _selecting(plain, view["name"])
    figures: Figures = {}
    for name, question in questions.items():
        figures[name] = await _median_s(question, options.rounds)
        say(f"{name} {figures[name]}")
    figures["list_p95_s"] = await _pages_p95_s(history, options)
    figures["slowest_view_s"] = max(
        float(seconds) for name, seconds in figures.items() if name.startswith("bi_")
    )
    return figures


def _selecting(plain: asyncpg.Connection, view: str) -> Callable[[], Awaitable[object]]:
    return lambda: plain.fetch(f"SELECT * FROM bi.{view}")  # noqa: S608 - a name of our own


async def _median_s(question: Callable[[], Awaitable[object]], rounds: int) -> float:
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await question()
        took.append(_seconds(begun))
    return round(statistics.median(took), 3)


async def _pages_p95_s(history: History, options: HistoryBenchmark) -> float:
    filters = (
        FrameFilter(),
        FrameFilter(passed=False),
        FrameFilter(class_name="crack"),
        FrameFilter(part_id=f"S{options.parts // 2:010}"),
        FrameFilter(source="watchdog"),
        FrameFilter(reviewed=True),
        FrameFilter(product="product-1", line="line-1"),
        FrameFilter(lot_id=f"L{options.parts // 4000}"),
    )
    took = []
    for nth in range(options.pages):
        begun = time.perf_counter()
        await history.list_frames(filters[nth % len(filters)])
        took.append(_seconds(begun))
    return round(statistics.quantiles(took, n=20)[-1], 3)


async def _record(
    url: str, plain: asyncpg.Connection, options: HistoryBenchmark, say: Say
) -> Figures:
    """Decisions per second with their acknowledgements, with and without facts, alternated."""
    writer = PostgresHistoryWriter(url, timeout_s=_WAIT_S)
    rates: dict[bool, list[float]] = {True: [], False: []}
    first = options.parts
    for nth in range(2 * options.rounds):
        with_facts = nth % 2 == 1
        await _switch_triggers(plain, on=with_facts)
        decided = [d for n in range(first, first + options.record) for d in made_decisions(n)]
        answered = [made_acknowledgement(d) for d in decided if not d.is_late]
        begun = time.perf_counter()
        for low in range(0, len(decided), _BATCH):
            await asyncio.gather(
                writer.add_decisions(decided[low : low + _BATCH]),
                writer.add_acknowledgements(answered[low : low + _BATCH]),
            )
        rates[with_facts].append(len(decided) / _seconds(begun))
        if not with_facts:
            await plain.execute("SELECT refresh_facts($1)", [d.frame_id for d in decided])
        say(f"{rates[with_facts][-1]:.0f} decisions/s, {'with' if with_facts else 'without'} facts")
        first += options.record
    await _switch_triggers(plain, on=True)
    steady = await _sustain(writer, first, options.sustain_s, say) if options.sustain_s else {}
    await writer.close()
    rate, bare = (statistics.median(rates[facts]) for facts in (True, False))
    return {
        "recorded_per_s": round(rate),
        "recorded_per_s_without_facts": round(bare),
        "facts_cost_ratio": round(bare / rate, 2),
        **steady,
    }


async def _sustain(writer: PostgresHistoryWriter, first: int, seconds: float, say: Say) -> Figures:
    """Record at a steady rate; how far the recording fell behind it, at worst and at the end."""
    begun, lags = time.perf_counter(), [0.0]
    for nth in range(round(seconds * _STEADY_PER_S / _BATCH)):
        due = begun + nth * _BATCH / _STEADY_PER_S
        await asyncio.sleep(max(due - time.perf_counter(), 0.0))
        numbers = range(first + nth * _BATCH, first + (nth + 1) * _BATCH)
        decided = [made_decisions(number)[0] for number in numbers]
        await asyncio.gather(
            writer.add_decisions(decided),
            writer.add_acknowledgements([made_acknowledgement(d) for d in decided]),
        )
        lags.append(time.perf_counter() - due)
        if nth % 50 == 49:
            say(f"{(nth + 1) * _BATCH} decisions at {_STEADY_PER_S}/s, {lags[-1]:.2f} s behind")
    return {
        "steady_per_s": _STEADY_PER_S,
        "steady_s": seconds,
        "steady_worst_lag_s": round(max(lags), 2),
        "steady_last_lag_s": round(lags[-1], 2),
    }


async def _switch_triggers(plain: asyncpg.Connection, on: bool) -> None:
    for table in ("decision", "acknowledgement"):
        word = "ENABLE" if on else "DISABLE"
        await plain.execute(f"ALTER TABLE {table} {word} TRIGGER facts_follow")


def _seconds(begun: float) -> float:
    return time.perf_counter() - begun
