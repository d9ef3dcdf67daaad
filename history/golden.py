"""Golden parts: known good and known bad ones that each line runs at the start of a shift."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    RowMapping,
    Select,
    Table,
    Text,
    Uuid,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import distinct_on

from history.facts import COUNTS
from history.records import Record
from history.tables import METADATA

Question = Select[tuple[object, ...]]
_QUARTER = timedelta(minutes=15)
_VERSION = METADATA.tables["policy_version"]
_AUDIT = METADATA.tables["policy_audit"]
_TEXTS = ("line", "station", "product_id", "part_id", "source", "class_name", "severity", "action")
RUNS = Table(
    "golden_run",
    MetaData(),
    Column("frame_id", Uuid),
    Column("captured_at", DateTime(timezone=True)),
    *(Column(name, Text) for name in (*_TEXTS, "reason", "expert_version")),
    Column("is_right", Boolean),
    Column("expected", ARRAY(Text)),
)
"""One row per run of a golden part, with the decision that counts."""


class GoldenRun(Record):
    """One run of a golden part: what it was judged and what it should have been."""

    frame_id: UUID
    captured_at: datetime
    line: str
    station: str
    product_id: str
    part_id: str
    action: str
    expected: tuple[str, ...]
    is_right: bool


class GoldenStatus(Record):
    """One golden part on one line within a shift."""

    line: str
    product_id: str
    part_id: str
    state: str
    """``right`` or ``wrong`` by its last run, or ``missing``."""
    runs: int = 0
    wrong: int = 0
    """Of the runs: judged wrongly."""
    last: GoldenRun | None = None


def known_query() -> Question:
    """The policy in force of each product."""
    query: Question = (
        select(_AUDIT.c.product_id, _VERSION.c.body)
        .ext(distinct_on(_AUDIT.c.product_id))
        .outerjoin(_VERSION, _VERSION.c.policy_hash == _AUDIT.c.to_hash)
        .order_by(_AUDIT.c.product_id, _AUDIT.c.applied_at.desc(), _AUDIT.c.id.desc())
    )
    return query


def lines_query(since: datetime, until: datetime) -> Question:
    """On which lines each product ran within a time, golden parts alone included.

    Counts are of quarters of an hour, and shifts begin at them.
    """
    inside = (COUNTS.c.quarter > since - _QUARTER, COUNTS.c.quarter < until, COUNTS.c.parts > 0)
    counted = select(COUNTS.c.line, COUNTS.c.product_id).where(*inside)
    ran = select(RUNS.c.line, RUNS.c.product_id).where(*_within(since, until))
    found = union(counted, ran).subquery()
    query: Question = select(found.c.line, found.c.product_id)
    return query


def runs_query(since: datetime, until: datetime) -> Question:
    """The runs of golden parts within a time, oldest first."""
    columns = [RUNS.c[name] for name in GoldenRun.model_fields]
    query: Question = select(*columns).where(*_within(since, until))
    return query.order_by(RUNS.c.captured_at, RUNS.c.frame_id)


def to_status(
    known: Sequence[RowMapping], lines: Sequence[RowMapping], runs: Iterable[GoldenRun]
) -> tuple[GoldenStatus, ...]:
    """Every golden part of every line that made its product, from the rows of the queries.

    The last run of a part counts: after a repair it is run again.
    """
    of: dict[tuple[str, str, str], list[GoldenRun]] = {}
    for run in runs:
        of.setdefault((run.line, run.product_id, run.part_id), []).append(run)
    parts = {row["product_id"]: (row["body"] or {}).get("golden") or {} for row in known}
    places = sorted({(row["line"], row["product_id"]) for row in lines})
    found = []
    for line, product in places:
        for part in sorted(parts.get(product, {})):
            seen = of.get((line, product, part), [])
            last = seen[-1] if seen else None
            state = "missing" if last is None else "right" if last.is_right else "wrong"
            wrong = sum(not run.is_right for run in seen)
            found.append(
                GoldenStatus(
                    line=line,
                    product_id=product,
                    part_id=part,
                    state=state,
                    runs=len(seen),
                    wrong=wrong,
                    last=last,
                )
            )
    return tuple(found)


def _within(since: datetime, until: datetime) -> list[ColumnElement[bool]]:
    return [RUNS.c.captured_at >= since, RUNS.c.captured_at < until]
