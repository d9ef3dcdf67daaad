"""Parts as Parquet files, one folder per day, as pandas, DuckDB and Spark read them."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pyarrow as pa
from pyarrow import parquet

from history.export.folder import whole_folder
from history.records import FrameRecord, ReviewSummary

_ROWS_AT_ONCE = 5000
_NESTED = ("review", "other_decisions")
_KINDS = {
    UUID: pa.string(),
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


async def write_parquet(
    frames: AsyncIterator[FrameRecord],
    folder: Path,
    progress: Callable[[], None] | None = None,
) -> int:
    """Write parts into ``folder/day=2026-11-23/parts.parquet``; returns how many.

    Days are UTC. ``review_*`` columns hold the latest review, ``other_decisions`` a JSON list.
    Parts come in the order of their time: one file is open at a time, and memory stays bounded.

    Raises:
        HistoryError: the folder is not empty.
    """
    with whole_folder(folder) as draft:
        return await _write(frames, draft, progress)


async def _write(
    frames: AsyncIterator[FrameRecord], draft: Path, progress: Callable[[], None] | None
) -> int:
    schema = _schema()
    day, count = "", 0
    rows: list[dict[str, object]] = []
    writer: parquet.ParquetWriter | None = None
    try:
        async for frame in frames:
            its_day = f"{frame.captured_at.astimezone(UTC):%Y-%m-%d}"
            if its_day != day or len(rows) == _ROWS_AT_ONCE:
                _flush(writer, rows, schema)
            if its_day != day:
                if writer is not None:
                    writer.close()
                day = its_day
                path = draft / f"day={day}" / "parts.parquet"
                path.parent.mkdir()
                writer = parquet.ParquetWriter(path, schema, compression="zstd")
            rows.append(_row(frame))
            count += 1
            if progress is not None:
                progress()
        _flush(writer, rows, schema)
    finally:
        if writer is not None:
            writer.close()
    return count


def _flush(
    writer: parquet.ParquetWriter | None, rows: list[dict[str, object]], schema: pa.Schema
) -> None:
    if writer is not None and rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        rows.clear()


def _schema() -> pa.Schema:
    fields = [
        pa.field(name, _kind(field.annotation))
        for name, field in FrameRecord.model_fields.items()
        if name not in _NESTED
    ]
    fields += [
        pa.field(f"review_{name}", _kind(field.annotation))
        for name, field in ReviewSummary.model_fields.items()
        if name != "review_id"
    ]
    return pa.schema([*fields, pa.field("other_decisions", pa.string())])


def _kind(annotation: object) -> pa.DataType:
    """The column's type; every column may be null."""
    choices: Sequence[object] = getattr(annotation, "__args__", (annotation,))
    return next(kind for python, kind in _KINDS.items() if python in choices)


def _row(frame: FrameRecord) -> dict[str, object]:
    row: dict[str, object] = {
        name: str(value) if isinstance(value, UUID) else value
        for name, value in frame
        if name not in _NESTED
    }
    if frame.review is not None:
        row |= {f"review_{n}": value for n, value in frame.review if n != "review_id"}
    others = [other.model_dump(mode="json") for other in frame.other_decisions]
    return {**row, "other_decisions": json.dumps(others)}
