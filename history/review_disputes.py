"""What two people said otherwise of one part, and who may end it. Conditions of SQL.

A dispute begins with a blind review that contradicts somebody else's. It ends with a review that
settles it, with the word of a third person, or when one of the two gives in; who repeats the own
word, having seen the other's, ends nothing.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    exists,
    func,
    or_,
    select,
    tuple_,
    union_all,
)

from history.accounts import person_in, person_of
from history.console_tables import USERS
from history.facts import FACTS, SHOTS

STANDING = Table(
    "standing_review",
    MetaData(),
    Column("review_id", Uuid),
    Column("frame_id", Uuid),
    *(Column(name, Text) for name in ("reviewer", "severity", "class_name")),
    *(Column(name, Boolean) for name in ("is_blind", "is_settlement")),
    Column("reviewed_at", DateTime(timezone=True)),
)
"""Reviews that nobody took back."""
_PART = FACTS.c.part_frame_id


def shots_of(part: ColumnElement[UUID]) -> Select[tuple[object, ...]]:
    """The part's photographs but its first one, by index; the function of the database is slower
    where each of many parts is asked for."""
    query: Select[tuple[object, ...]] = select(SHOTS.c.frame_id)
    return query.where(SHOTS.c.part_frame_id == part).correlate(FACTS)


def is_of_part(reviews: FromClause) -> ColumnElement[bool]:
    """Whether a review is of the part that the facts are asked for."""
    frames = union_all(select(_PART).correlate(FACTS), shots_of(_PART)).scalar_subquery()
    return reviews.c.frame_id == any_(func.array(frames))


def is_contradicted() -> ColumnElement[bool]:
    """Whether two people said otherwise of the part, one of them blind.

    The parts that are disputed are among these, which one pass over the reviews finds: asked of
    each part, the same takes minutes where many are reviewed.
    """
    part = func.coalesce(SHOTS.c.part_frame_id, STANDING.c.frame_id).label("part")
    said = select(STANDING, part).select_from(
        STANDING.outerjoin(SHOTS, SHOTS.c.frame_id == STANDING.c.frame_id)
    )
    one, other = said.subquery("one"), said.subquery("other")
    contradicted = select(one.c.part).where(
        one.c.is_blind,
        other.c.part == one.c.part,
        person_in(other.c.reviewer) != person_in(one.c.reviewer),
        _contradicts(other, one),
    )
    return any_(func.array(contradicted.scalar_subquery())) == _PART


def is_disputed() -> ColumnElement[bool]:
    """Whether the part's latest blind review contradicts what somebody else had said before."""
    r, s = STANDING.alias("r"), STANDING.alias("s")
    latest = (
        select(STANDING)
        .where(is_of_part(STANDING), STANDING.c.is_blind)
        .order_by(STANDING.c.reviewed_at.desc(), STANDING.c.review_id.desc())
        .limit(1)
        .correlate(FACTS)
        .lateral("latest")
    )
    of_latest, of_r, of_s = (person_in(one.c.reviewer) for one in (latest, r, s))
    ended = select(s.c.review_id).where(
        is_of_part(s),
        _is_later(s, latest),
        or_(
            s.c.is_settlement,
            of_s.not_in([of_latest, of_r]),
            and_(of_s == of_r, ~_contradicts(s, latest)),
            and_(of_s == of_latest, ~_contradicts(s, r)),
        ),
    )
    other = select(r.c.review_id).where(
        is_of_part(r),
        _is_later(latest, r),
        of_r != of_latest,
        _contradicts(r, latest),
        ~exists(ended.correlate(FACTS, r, latest)),
    )
    return exists(other.correlate(FACTS))


def may_settle(reviewer: str, judges: Collection[str]) -> ColumnElement[bool]:
    """Whether a person is given a disputed part: who said nothing of it yet, or anybody where
    nobody else could be given it.

    Args:
        reviewer: who asks.
        judges: roles of the people who review.
    """
    said = select(person_in(STANDING.c.reviewer)).where(is_of_part(STANDING)).correlate(FACTS)
    own = said.where(person_in(STANDING.c.reviewer) == person_of(reviewer))
    third = select(USERS.c.name).where(
        USERS.c.role.in_(judges), ~USERS.c.is_disabled, USERS.c.name.not_in(said)
    )
    return or_(~exists(own), ~exists(third.correlate(FACTS)))


def _contradicts(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    named = and_(one.c.class_name != "", other.c.class_name != "")
    return or_(
        one.c.severity != other.c.severity,
        and_(named, one.c.class_name != other.c.class_name),
    )


def _is_later(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    moments = (tuple_(each.c.reviewed_at, each.c.review_id) for each in (one, other))
    return next(moments) > next(moments)
