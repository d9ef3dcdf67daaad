"""The history at the size of a plant's years: questions, views, pages and recording, in seconds.

An embedded PostgreSQL of its own is filled by SQL. Questions go through ``History`` as the commands
ask them; each figure is a median of several.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
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
from lab.benchmarks.history_fill import (
    Figures,
    enough_disk,
    fill_history,
    switch_triggers,
)
from lab.benchmarks.history_parts import captured_at, made_acknowledgement, made_decisions
from lab.benchmarks.history_reviews import ask_the_queue, fill_reviews
from lab.progress import Say

_CHECKED = 100_000
_BATCH = 200
_STEADY_PER_S = 1000
_WAIT_S = 600.0
_PART_QUESTION = "SELECT class_name, local_day, count(*) FROM bi.part GROUP BY 1, 2"


@dataclass(frozen=True)
class HistoryBenchmark:
    """What is measured.

    Args:
        parts: parts in the database.
        rounds: how often each question is asked, and each way of recording tried.
        record: parts that one round records; 0 leaves recording out.
        pages: pages that are listed for the percentile.
        sustain_s: seconds of recording at a steady 1,000 decisions/s, acknowledgements and facts
            included; 0 leaves it out.
    """

    parts: int = 1_000_000
    rounds: int = 5
    record: int = 4000
    pages: int = 120
    sustain_s: float = 0.0


async def benchmark_history(options: HistoryBenchmark, folder: Path, say: Say) -> Figures:
    """Fill a database in ``folder``, as far as it is not filled yet, and measure it.

    Raises:
        TooLittleDiskError: before anything is written.
    """
    postgres = folder / "postgres"
    if not postgres.exists():
        enough_disk(options.parts, folder, say)
    with start_postgres(postgres) as server:
        await upgrade(server.url)
        await apply_bi(server.url, PlantTimes(time_zone="Europe/Berlin"))
        plain = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        history = History(server.url, timeout_s=_WAIT_S)
        try:
            figures = await fill_history(plain, options.parts, say)
            figures |= await fill_reviews(plain, say)
            figures |= await _ask(history, plain, options, say)
            figures |= await ask_the_queue(history, options.rounds)
            if options.record:
                figures |= await _record(server.url, plain, options, say)
            figures |= await _check(history, options, say)
        finally:
            await history.close()
            await plain.close()
    return figures


async def _check(history: History, options: HistoryBenchmark, say: Say) -> Figures:
    """Whether the facts are those of the events: of all parts, or of the last of many."""
    many = options.parts > _CHECKED
    say("comparing facts and recorded events" + (f" of the last {_CHECKED} parts" if many else ""))
    begun = time.perf_counter()
    gaps = await history.gaps(since=captured_at(options.parts - _CHECKED) if many else None)
    return {
        "check_s": round(_seconds(begun), 1),
        "facts_true": not (gaps.false_facts or gaps.false_counts),
    }


async def _ask(
    history: History, plain: asyncpg.Connection, options: HistoryBenchmark, say: Say
) -> Figures:
    """Statistics, Pareto and each view: medians; pages by several filters: the 95th percentile."""
    last = captured_at(options.parts)
    month = FrameFilter(since=last - timedelta(days=30) + timedelta(minutes=7))
    before = FrameFilter(since=last - timedelta(days=61), until=last - timedelta(days=31))
    lot = FrameFilter(lot_id=f"L{options.parts // 4000}")
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "stats_of_all_s": history.stats,
        "stats_of_the_last_30_days_s": lambda: history.stats(month),
        "stats_of_a_month_before_s": lambda: history.stats(before),
        "pareto_of_the_last_30_days_s": lambda: history.pareto(month),
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
    figures |= await _pages(history, options)
    say(f"list_p95_s {figures['list_p95_s']}")
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


async def _pages(history: History, options: HistoryBenchmark) -> Figures:
    """Pages over the filters in turn; the last of each are asked where an earlier page ended."""
    middle, late = captured_at(options.parts // 2), captured_at(options.parts * 9 // 10)
    lot = f"L{options.parts // 4000}"
    filters = {
        "all": FrameFilter(),
        "not passed": FrameFilter(passed=False),
        "class": FrameFilter(class_name="crack"),
        "no such class": FrameFilter(class_name="no such class"),
        "part": FrameFilter(part_id=f"S{options.parts // 2:010}"),
        "watchdog": FrameFilter(source="watchdog"),
        "fallback of a line": FrameFilter(source="fallback", line="line-2"),
        "reviewed": FrameFilter(reviewed=True),
        "product and line": FrameFilter(product="product-1", line="line-1"),
        "station": FrameFilter(station="station-1"),
        "action": FrameFilter(action="hold"),
        "lot": FrameFilter(lot_id=lot),
        "class of a lot": FrameFilter(lot_id=lot, class_name="crack"),
        "since": FrameFilter(since=late),
        "until": FrameFilter(until=middle),
        "class of a product and line": FrameFilter(
            line="line-1", product="product-1", class_name="pit"
        ),
        "scrapped and reviewed until": FrameFilter(action="scrap", reviewed=True, until=middle),
    }
    took: dict[str, list[float]] = {name: [] for name in filters}
    cursors: dict[str, str | None] = dict.fromkeys(filters)
    for nth in range(max(options.pages, len(filters))):
        name = list(filters)[nth % len(filters)]
        begun = time.perf_counter()
        page = await history.list_frames(filters[name], cursor=cursors[name])
        took[name].append(_seconds(begun))
        cursors[name] = page.next_cursor
    slowest = max(took, key=lambda name: statistics.median(took[name]))
    return {
        "list_p95_s": round(
            statistics.quantiles([s for each in took.values() for s in each], n=20)[-1], 3
        ),
        "list_filters": len(filters),
        "slowest_filter": slowest,
        "slowest_filter_s": round(statistics.median(took[slowest]), 3),
    }


async def _record(
    url: str, plain: asyncpg.Connection, options: HistoryBenchmark, say: Say
) -> Figures:
    """Decisions per second with their acknowledgements, with and without facts, alternated."""
    writer = PostgresHistoryWriter(url, timeout_s=_WAIT_S)
    rates: dict[bool, list[float]] = {True: [], False: []}
    first = options.parts
    for nth in range(2 * options.rounds):
        with_facts = nth % 2 == 1
        await switch_triggers(plain, on=with_facts)
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
    await switch_triggers(plain, on=True)
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


def _seconds(begun: float) -> float:
    return time.perf_counter() - begun
