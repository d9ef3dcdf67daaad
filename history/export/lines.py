"""Frames as JSON lines (exact) or CSV (for a spreadsheet)."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable

from history.records import FrameRecord

_NESTED = {"review", "other_decisions"}
_COLUMNS = [name for name in FrameRecord.model_fields if name not in _NESTED]
_REVIEW = ("reviewer", "class_name", "severity", "action", "comment", "reviewed_at")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


async def json_lines(frames: AsyncIterator[FrameRecord]) -> AsyncIterator[str]:
    """One JSON object per line, with every field."""
    async for frame in frames:
        yield frame.model_dump_json() + "\n"


async def csv_lines(frames: AsyncIterator[FrameRecord]) -> AsyncIterator[str]:
    """CSV by RFC 4180 with a header line; ``review_*`` columns hold the latest review.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    yield csv_line([*_COLUMNS, *(f"review_{name}" for name in _REVIEW)])
    async for frame in frames:
        fields = json.loads(frame.model_dump_json())
        review = fields["review"] or {}
        values = [fields[name] for name in _COLUMNS] + [review.get(name) for name in _REVIEW]
        yield csv_line(values)


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value


def csv_line(values: Iterable[object]) -> str:
    """One line of CSV by RFC 4180; nothing in it is taken for a formula.

    >>> csv_line(["=1+1", None, 2])
    "'=1+1,,2\\r\\n"
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_cell(value) for value in values])
    return out.getvalue()
