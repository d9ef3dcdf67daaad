"""Counts over effective decisions; the database groups them, this module adds them up."""

from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy import Integer, RowMapping, Select, case, cast, func, select
from sqlalchemy.types import Text

from history.filters import SCAN, FrameFilter
from history.records import Count, Day, Stats
from history.tables import METADATA


def stats_query(wanted: FrameFilter) -> Select[tuple[object, ...]]:
    """One row per combination of what is counted.

    A part is first seen once; a frame without a serial number is a part of its own.
    """
    c, decision = SCAN.c, METADATA.tables["decision"].c
    part = case((c.part_id == "", cast(c.frame_id, Text)), else_=c.part_id)
    first = func.row_number().over(
        partition_by=(c.product_id, part), order_by=(c.captured_at, c.frame_id)
    )
    frames = (
        select(
            func.to_char(func.timezone("UTC", c.captured_at), "YYYY-MM-DD").label("day"),
            c.action,
            c.severity,
            c.source,
            c.class_name,
            func.coalesce(c.outcome, "none").label("outcome"),
            c.rule,
            (first == 1).label("first"),
            select(decision.result_id)
            .where(decision.frame_id == c.frame_id, decision.is_late)
            .exists()
            .label("late"),
            (c.review["severity"].astext == c.severity).label("agrees"),
        )
        .where(*wanted.conditions(SCAN))
        .subquery()
    )
    count = cast(func.count(), Integer).label("n")
    query: Select[tuple[object, ...]] = select(*frames.c, count).group_by(*frames.c)
    return query


def to_stats(groups: Sequence[RowMapping], top: int) -> Stats:
    """The statistics, from the rows of ``stats_query``."""

    def by(name: str) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for group in groups:
            counts[str(group[name])] += group["n"]
        return dict(counts.most_common())

    def total(wanted: Callable[[RowMapping], bool | None]) -> int:
        return sum(group["n"] for group in groups if wanted(group))

    parts = total(lambda g: g["first"])
    passed = total(lambda g: g["first"] and g["action"] == "pass")
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
        by_day=tuple(
            Day(day=day, frames=sum(counts.values()), by_action=dict(counts.most_common()))
            for day, counts in sorted(days.items())
        ),
        top_reasons=tuple(Count(name=n, count=k) for n, k in rules.most_common(top)),
        with_late_answer=total(lambda g: g["late"]),
        reviewed=total(lambda g: g["agrees"] is not None),
        review_agrees=total(lambda g: g["agrees"]),
    )
