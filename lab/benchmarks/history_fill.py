"""Fills a history for the benchmark: a thousand patterns by COPY, and all parts of them by SQL.

What was filled stays when it is stopped: the next run goes on behind the last chunk.
"""

import shutil
import time
from pathlib import Path
from typing import Final

import asyncpg

from history import rows
from history.facts import COUNTS, FACTS
from history.tables import METADATA
from lab.benchmarks.history_parts import BEGIN, PATTERNS, TAKT, made_acknowledgement, made_decisions
from lab.progress import Say
from streams.errors import AndonError

Figures = dict[str, float | int | bool | str]
BYTES_A_PART: Final = 3_000
"""Disk that a part needs, by what a million took."""
BYTES_BESIDE: Final = 3_000_000_000
"""The write-ahead log and what a sort takes for a while."""
_CHUNK: Final = 20_000
_BEGIN: Final = f"timestamptz '{BEGIN.isoformat()}'"
_TAKT: Final = f"interval '{TAKT.total_seconds()} s'"


class TooLittleDiskError(AndonError):
    """The folder has no room for so many parts."""


def enough_disk(parts: int, folder: Path, say: Say = lambda _: None) -> None:
    """Refuse to fill a folder that has no room.

    Raises:
        TooLittleDiskError: it has not.
    """
    needed, free = parts * BYTES_A_PART + BYTES_BESIDE, shutil.disk_usage(folder).free
    told = f"{parts} parts need about {needed / 1e9:.0f} GB, {folder} has {free / 1e9:.0f} GB free"
    if needed > free:
        raise TooLittleDiskError(f"{told}: choose fewer parts or another --folder")
    say(told)


async def fill_history(plain: asyncpg.Connection, parts: int, say: Say) -> Figures:
    """Parts 0 to ``parts`` with their facts and counts; goes on where an earlier run was stopped.

    The triggers are off meanwhile: the facts are written as they would write them, which
    ``andon history check`` compares.
    """
    begun, done = time.perf_counter(), await _prepare(plain)
    first, told = done, 0.0
    if done < parts:
        await switch_triggers(plain, on=False)
        while done < parts:
            high = min(done + _CHUNK, parts)
            async with plain.transaction():
                for statement in _STATEMENTS:
                    await plain.execute(statement.format(low=done, high=high - 1))
                await plain.execute("UPDATE benchmark.filled SET parts = $1", high)
            done = high
            if (took := time.perf_counter() - begun) - told > 10 or done == parts:
                told = took
                say(f"{done} of {parts} parts, {(done - first) / took:.0f}/s")
        async with plain.transaction():
            await plain.execute("TRUNCATE part_count")
            await plain.execute(_COUNT)
        await switch_triggers(plain, on=True)
        say("VACUUM ANALYZE")
        await plain.execute("VACUUM ANALYZE")
    seconds = time.perf_counter() - begun
    size = await plain.fetchval("SELECT pg_database_size(current_database())")
    return {
        "parts": parts,
        "filled_now": done - first,
        "fill_parts_per_s": round((done - first) / seconds),
        "database_gb": round(size / 1e9, 2),
        "bytes_a_part": round(size / max(parts, 1)),
        "count_rows": await plain.fetchval("SELECT count(*) FROM part_count"),
        "months": await plain.fetchval(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'decision'::regclass"
        ),
    }


async def switch_triggers(plain: asyncpg.Connection, on: bool) -> None:
    """Whether inserts write facts."""
    for table in ("decision", "acknowledgement", "review"):
        word = "ENABLE" if on else "DISABLE"
        await plain.execute(f"ALTER TABLE {table} {word} TRIGGER facts_follow")


async def _prepare(plain: asyncpg.Connection) -> int:
    """The patterns, months of their own, and how many parts are there already."""
    found = await plain.fetchval("SELECT to_regclass('benchmark.filled') IS NOT NULL")
    if found:
        return int(await plain.fetchval("SELECT parts FROM benchmark.filled"))
    await plain.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda words: b"\x01" + words.encode(),
        decoder=lambda data: data[1:].decode(),
    )
    await plain.execute("SELECT add_months(0, $1)", BEGIN)
    async with plain.transaction():
        await plain.execute("CREATE SCHEMA benchmark")
        for table, records in _patterns().items():
            columns = ["nth", *records[0][1]]
            await plain.execute(
                f"CREATE TABLE benchmark.{table} AS SELECT 0 AS nth, * FROM {table} WITH NO DATA"
            )
            lines = [(nth, *row.values()) for nth, row in records]
            await plain.copy_records_to_table(
                table, schema_name="benchmark", records=lines, columns=columns
            )
        await plain.execute("ANALYZE benchmark.decision, benchmark.acknowledgement")
        await plain.execute("CREATE TABLE benchmark.filled AS SELECT 0 AS parts")
    return 0


def _patterns() -> dict[str, list[tuple[int, rows.Row]]]:
    """Rows of the patterns; of each part the answer is that to its first decision."""
    made = [made_decisions(number) for number in range(PATTERNS)]
    return {
        "decision": [(n, rows.decision_row(d)) for n, ds in enumerate(made) for d in ds],
        "acknowledgement": [
            (n, rows.acknowledgement_row(made_acknowledgement(ds[0]))) for n, ds in enumerate(made)
        ],
    }


_PARTS: Final = f"""WITH part AS (
    SELECT n, n % {PATTERNS} AS nth, {_BEGIN} + n * {_TAKT} AS captured_at,
        (lpad(to_hex(floor(extract(epoch FROM {_BEGIN} + n * {_TAKT}) * 1000)::bigint), 12, '0')
            || '70008' || lpad(to_hex(n), 15, '0'))::uuid AS frame_id,
        'S' || lpad((CASE WHEN n * 2654435761 % 4294967296 % 100 < 3 AND n > 20000
            THEN n - 1 - n * 2654435761 % 4294967296 % 20000 ELSE n END)::text, 10, '0') AS part_id,
        'L' || n / 2000 AS lot_id, 'product-' || (n / 40000 + n % 4) % 6 AS product_id,
        lpad((n / 240000)::text, 64, '0') AS policy_hash,
        lpad(to_hex(n / 360000), 64, '0') AS expert_version
    FROM generate_series({{low}}::bigint, {{high}}) n)
"""
"""The parts of a chunk, as ``history_parts.own_columns`` has them."""
_OWN: Final = {
    **{n: f"o.{n}" for n in ("frame_id", "part_id", "lot_id", "product_id", "captured_at")},
    "policy_hash": "o.policy_hash",
    "expert_version": "o.expert_version",
    "trigger_seq": "o.n + 1",
    "result_id": "md5(o.frame_id::text || p.source)::uuid",
    "decided_at": "o.captured_at + interval '200 ms'",
    "written_at": "o.captured_at + interval '205 ms'",
    "acknowledged_at": "o.captured_at + interval '215 ms'",
    "recorded_at": "o.captured_at + interval '1 s'",
}


def _insert(table: str) -> str:
    columns = [column.name for column in METADATA.tables[table].columns]
    values = ", ".join(_OWN.get(name, f"p.{name}") for name in columns)
    return (
        f"{_PARTS} INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM part o "
        f"JOIN benchmark.{table} p ON p.nth = o.nth ORDER BY o.n"
    )


def _facts() -> str:
    stated = {
        **_OWN,
        "part_frame_id": "o.frame_id",
        "outcome": "a.outcome",
        "result_seq": "a.result_seq",
        "trigger_to_write_ms": "a.trigger_to_write_ms",
        "has_late_answer": "EXISTS (SELECT FROM benchmark.decision l "
        "WHERE l.nth = o.nth AND l.is_late)",
        "review_severity": "CASE WHEN o.n % 200 = 0 THEN 'normal' END",
        "review_class": "CASE WHEN o.n % 200 = 0 THEN '' END",
        "is_repeated": "false",
    }
    columns = [column.name for column in FACTS.columns]
    values = ", ".join(stated.get(name, f"p.{name}") for name in columns)
    return (
        f"{_PARTS} INSERT INTO part_fact ({', '.join(columns)}) SELECT {values} FROM part o "
        "JOIN benchmark.decision p ON p.nth = o.nth AND NOT p.is_late "
        "JOIN benchmark.acknowledgement a ON a.nth = o.nth ORDER BY o.n"
    )


_REVIEWS: Final = (
    f"{_PARTS} INSERT INTO review (review_id, frame_id, reviewer, class_name, severity, comment, "
    "is_blind, is_settlement, reviewed_at, event) SELECT o.frame_id, o.frame_id, 'Ada', '', "
    "'normal', '', false, false, o.captured_at + interval '2 h', '{{}}' FROM part o "
    "WHERE o.n % 200 = 0"
)
_REPEATED: Final = f"""{_PARTS}, again AS (
    SELECT f.part_frame_id FROM part o JOIN part_fact f ON f.part_id = o.part_id
        AND f.product_id = o.product_id
    WHERE o.part_id <> 'S' || lpad(o.n::text, 10, '0')
        AND EXISTS (SELECT FROM part_fact b WHERE b.part_id = o.part_id
            AND b.product_id = o.product_id AND b.part_frame_id <> o.frame_id))
UPDATE part_fact f SET is_repeated = true FROM again
WHERE f.part_frame_id = again.part_frame_id AND NOT f.is_repeated"""
"""Serials of a chunk that came before, and those before."""
_STATEMENTS: Final = (
    _insert("decision"),
    _insert("acknowledgement"),
    _REVIEWS,
    _facts(),
    _REPEATED,
)
_KIND: Final = [c.name for c in COUNTS.columns if c.name not in ("quarter", "key", "parts")]
_COUNT: Final = (
    f"INSERT INTO part_count (quarter, key, {', '.join(_KIND)}, parts) "
    f"SELECT quarter, md5(ROW({', '.join(_KIND)})::text)::uuid, {', '.join(_KIND)}, parts "
    f"FROM (SELECT date_bin('15 minutes', captured_at, 'epoch') AS quarter, {', '.join(_KIND)}, "
    f"count(*) AS parts FROM part_fact GROUP BY quarter, {', '.join(_KIND)}) counted "
    "ORDER BY 1, 2"
)
