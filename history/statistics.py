"""Counts over parts: the database adds up, this module puts the sums in order.

Whole quarters of an hour come from the counts that are kept as parts are recorded. Their edges, and
what the counts do not tell apart (a lot, a serial number), come from the facts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    RowMapping,
    Select,
    Subquery,
    cast,
    func,
    select,
    union_all,
)

from history.facts import COUNTS, FACTS
from history.filters import FrameFilter
from history.local_time import local_time
from history.records import Count, Day, Pareto, ParetoRow, Stats

Question = Select[tuple[object, ...]]
_QUARTER = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IN_STATS = (
    "action",
    "severity",
    "source",
    "class_name",
    "outcome",
    "rule",
    "has_late_answer",
    "review_severity",
    "is_repeated",
)


class ParetoBy(StrEnum):
    """By what the parts of a Pareto are told apart."""

    CLASS = "class"
    RULE = "rule"
    SOURCE = "source"
    STATION = "station"
    LINE = "line"
    PRODUCT = "product"
    EXPERT = "expert"
    POLICY = "policy"


_PARETO_COLUMNS = {
    ParetoBy.CLASS: "class_name",
    ParetoBy.PRODUCT: "product_id",
    ParetoBy.EXPERT: "expert_version",
    ParetoBy.POLICY: "policy_hash",
}


def stats_query(wanted: FrameFilter, time_zone: str = "UTC") -> Question:
    """One row ``n`` per combination of what the statistics count, and day of a time zone."""
    parts = counted_parts(wanted, _IN_STATS)
    day = func.to_char(local_time(parts.c.captured_at, time_zone), "YYYY-MM-DD").label("day")
    dimensions = (day, *(parts.c[name] for name in _IN_STATS))
    total = cast(func.sum(parts.c.n), BigInteger).label("n")
    query: Question = select(*dimensions, total).group_by(*dimensions)
    return query


def repeated_query(wanted: FrameFilter) -> Question:
    """How many serials of those seen more than once are meant, and how many passed at first."""
    c = FACTS.c
    first = func.row_number().over(
        partition_by=(c.product_id, c.part_id), order_by=(c.captured_at, c.part_frame_id)
    )
    seen = (
        select(c.action, first.label("nth"))
        .where(c.is_repeated, *wanted.conditions(FACTS))
        .subquery()
    )
    passed = func.count().filter(seen.c.action == "pass")
    counts = [func.count().label("parts"), passed.label("passed")]
    query: Question = select().add_columns(*counts).where(seen.c.nth == 1)
    return query


def pareto_query(wanted: FrameFilter, by: ParetoBy) -> Question:
    """How many parts fell under each name, the most first."""
    name = _PARETO_COLUMNS.get(by, by.value)
    parts = counted_parts(wanted, (name,))
    total = cast(func.sum(parts.c.n), BigInteger).label("n")
    query: Question = (
        select(parts.c[name].label("name"), total)
        .group_by(parts.c[name])
        .having(func.sum(parts.c.n) > 0)
        .order_by(total.desc(), parts.c[name])
    )
    return query


def counted_parts(wanted: FrameFilter, names: Sequence[str]) -> Subquery:
    """Rows that say how many (``n``) parts with these columns were captured at a time.

    The time is exact or the start of its quarter: of a day of any time zone in either case.
    """
    whole, edges = _quarters(wanted.since, wanted.until)
    if wanted.names_parts() or not {*names} <= {*COUNTS.c.keys()}:
        whole, edges = None, [(wanted.since, wanted.until)]
    rows: list[Question] = []
    if whole is not None:
        columns = [COUNTS.c.quarter.label("captured_at"), *(COUNTS.c[name] for name in names)]
        rows.append(
            select(*columns, cast(func.sum(COUNTS.c.parts), BigInteger).label("n"))
            .where(*wanted.conditions(COUNTS), *_within(COUNTS.c.quarter, *whole))
            .group_by(*columns)
        )
    for since, until in edges:
        columns = [FACTS.c.captured_at, *(FACTS.c[name] for name in names)]
        rows.append(
            select(*columns, cast(1, BigInteger).label("n")).where(
                *wanted.conditions(FACTS), *_within(FACTS.c.captured_at, since, until)
            )
        )
    return union_all(*rows).subquery()


_Span = tuple[datetime | None, datetime | None]


def _quarters(since: datetime | None, until: datetime | None) -> tuple[_Span | None, list[_Span]]:
    """A span as its whole quarters, if any, and the edges that are left."""
    low = None if since is None else _EPOCH - (_EPOCH - since) // _QUARTER * _QUARTER
    high = None if until is None else _EPOCH + (until - _EPOCH) // _QUARTER * _QUARTER
    if low is not None and high is not None and low >= high:
        return None, [(since, until)]
    edges: list[_Span] = []
    if since != low:
        edges.append((since, low))
    if until != high:
        edges.append((high, until))
    return (low, high), edges


def _within(
    column: Column[datetime], since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    lower = [] if since is None else [column >= since]
    return lower + ([] if until is None else [column < until])


def to_stats(groups: Sequence[RowMapping], repeated: RowMapping, top: int) -> Stats:
    """The statistics, from the rows of ``stats_query`` and the row of ``repeated_query``."""

    def by(name: str) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for group in groups:
            counts[str(group[name] if group[name] is not None else "none")] += group["n"]
        return {name: count for name, count in counts.most_common() if count}

    def total(wanted: Callable[[RowMapping], bool | None]) -> int:
        return sum(group["n"] for group in groups if wanted(group))

    once = total(lambda g: not g["is_repeated"])
    passed = total(lambda g: not g["is_repeated"] and g["action"] == "pass") + repeated["passed"]
    parts = once + repeated["parts"]
    rules: Counter[str] = Counter()
    days: dict[str, Counter[str]] = {}
    for group in groups:
        days.setdefault(group["day"], Counter())[group["action"]] += group["n"]
        if group["action"] != "pass":
            rules[group["rule"]] += group["n"]
    by_class = by("class_name")
    by_class.pop("", None)
    return Stats(
        frames=total(lambda g: True),
        parts=parts,
        first_pass_yield=passed / parts if parts else None,
        by_action=by("action"),
        by_severity=by("severity"),
        by_source=by("source"),
        by_class=by_class,
        by_outcome=by("outcome"),
        by_day=tuple(_day(day, counts) for day, counts in sorted(days.items()) if +counts),
        top_reasons=tuple(Count(name=n, count=k) for n, k in (+rules).most_common(top)),
        with_late_answer=total(lambda g: g["has_late_answer"]),
        reviewed=total(lambda g: g["review_severity"] is not None),
        review_agrees=total(lambda g: g["review_severity"] == g["severity"]),
    )


def _day(day: str, counts: Counter[str]) -> Day:
    return Day(day=day, frames=counts.total(), by_action=dict((+counts).most_common()))


def to_pareto(groups: Sequence[RowMapping], by: ParetoBy, top: int) -> Pareto:
    """The names with the most parts, from the rows of ``pareto_query``."""
    parts = sum(group["n"] for group in groups)
    rows: list[ParetoRow] = []
    reached = 0
    for group in groups[:top]:
        reached += group["n"]
        rows.append(
            ParetoRow(
                name=group["name"],
                parts=group["n"],
                share=group["n"] / parts,
                cumulative_share=reached / parts,
            )
        )
    return Pareto(by=by.value, parts=parts, names=len(groups), rows=tuple(rows))
