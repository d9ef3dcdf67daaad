"""Blind audits of parts that passed: which were drawn, which wait, and what was found.

A part that passed is drawn when ``streams.ids.audit_draw`` of its frame id is under the
``audit_share`` of the policy that decided it, whether it passed as normal, by its class or by a
fallback. Only drawn parts count, and of their reviews only those that saw no verdict.
"""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Double,
    MetaData,
    RowMapping,
    Select,
    Table,
    Text,
    Uuid,
    cast,
    func,
    select,
)

from history.facts import FACTS
from history.filters import FrameFilter
from history.records import AuditCount, Record
from history.statistics import counted_parts
from history.tables import METADATA

Question = Select[tuple[object, ...]]
_KEY = ("product_id", "class_name", "expert_version", "policy_hash")
_OF_PART = ("captured_at", "line", "station", "part_id", "lot_id", "is_simulated")
_OF_ANSWER = ("source", "severity", "action", "rule", "review_severity", *_KEY)
_VERSION = METADATA.tables["policy_version"]

SAMPLE = Table(
    "audit_sample",
    MetaData(),
    Column("part_frame_id", Uuid),
    *(Column(name, FACTS.c[name].type) for name in (*_OF_PART, *_OF_ANSWER)),
    Column("share", Double),
    Column("audit_severity", Text),
    Column("has_picture", Boolean),
)
"""One row per part that passed and was drawn, with what its latest blind review says."""


class AuditPart(Record):
    """A part that waits for its blind review: where it came from, and nothing of its verdict."""

    part_frame_id: UUID
    product_id: str
    line: str
    station: str


class AuditQueue(Record):
    """The next parts to review, in an order that tells nothing, and how many wait in all."""

    waiting: int
    parts: tuple[AuditPart, ...] = ()


def may_be_drawn(part: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Whether a part's number is under the highest share of any policy: an index finds those.

    Every drawn part is among them; without this the number of each part that passed is computed.
    """
    share = cast(_VERSION.c.body.op("->>")("audit_share"), Double)
    highest = select(func.max(share)).scalar_subquery()
    return func.audit_draw(part) < highest


def queue_query(wanted: FrameFilter, limit: int) -> Question:
    """The parts that wait, each row with how many do in all.

    The order is that of a hash, so that a queue of which only some is reviewed stays a random
    sample.
    """
    c = SAMPLE.c
    names = [c[name] for name in AuditPart.model_fields]
    query: Question = (
        select(*names, func.count().over().label("waiting"))
        .where(
            may_be_drawn(c.part_frame_id),
            c.has_picture,
            c.audit_severity.is_(None),
            *wanted.conditions(SAMPLE),
        )
        .order_by(func.md5(cast(c.part_frame_id, Text)))
        .limit(limit)
    )
    return query


def drawn_query(part: UUID) -> Question:
    """One row where the part passed and was drawn."""
    query: Question = select(SAMPLE.c.part_frame_id).where(SAMPLE.c.part_frame_id == part)
    return query


def passed_query(wanted: FrameFilter) -> Question:
    """How many parts passed, by what audits are told apart by, with the share of their policy."""
    parts = counted_parts(wanted, (*_KEY, "action"))
    keys = [parts.c[name] for name in _KEY]
    share = cast(_VERSION.c.body.op("->>")("audit_share"), Double).label("share")
    query: Question = (
        select(*keys, share, func.sum(parts.c.n).label("passed"))
        .select_from(parts.outerjoin(_VERSION, _VERSION.c.policy_hash == parts.c.policy_hash))
        .where(parts.c.action == "pass")
        .group_by(*keys, share)
        .having(func.sum(parts.c.n) > 0)
    )
    return query


def sample_query(wanted: FrameFilter) -> Question:
    """How many parts were drawn, by the same, and what blind reviews say of them."""
    c = SAMPLE.c
    keys = [*(c[name] for name in _KEY), c.audit_severity, c.has_picture]
    count = func.count().label("n")
    drawn = select(*keys, count).where(may_be_drawn(c.part_frame_id), *wanted.conditions(SAMPLE))
    query: Question = drawn.group_by(*keys)
    return query


def to_counts(passed: Sequence[RowMapping], drawn: Sequence[RowMapping]) -> tuple[AuditCount, ...]:
    """The counts, from the rows of ``passed_query`` and ``sample_query``."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for row in drawn:
        counts = found.setdefault(tuple(row[name] for name in _KEY), Counter())
        counts["drawn"] += row["n"]
        said = row["audit_severity"]
        if said in ("normal", "negligible", "defect"):
            counts["reviewed"] += row["n"]
            counts["escapes"] += row["n"] if said == "defect" else 0
        elif said is not None:
            counts["undecided"] += row["n"]
        elif not row["has_picture"]:
            counts["without_picture"] += row["n"]
    return tuple(
        AuditCount.model_validate({**row, **found.get(tuple(row[n] for n in _KEY), Counter())})
        for row in passed
    )
