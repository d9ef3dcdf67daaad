"""Parts that wait for a person: which they are, in which order, and what a reviewer sees beside.

A part is in the queue for one reason (``WaitingFor``). Parts of which no picture is kept are not:
nobody could judge them. Audits are those of ``history.audits``.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    Text,
    and_,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from history.accounts import person_in, person_of
from history.audits import may_be_drawn
from history.facts import FACTS, SECOND_DRAW, WHY_STOPPED
from history.filters import FrameFilter
from history.queries import History
from history.records import Record
from history.review_disputes import (
    STANDING,
    is_contradicted,
    is_disputed,
    is_of_part,
    may_settle,
    shots_of,
)
from history.statistics import counted_parts
from history.tables import METADATA

Question = Select[tuple[object, ...]]
MOST_COUNTED: Final = 1000
"""A queue that is longer is said to be that long."""
REFERENCES: Final = 6
_ANOMALY = METADATA.tables["anomaly"].c
_VERSION = METADATA.tables["policy_version"].c
_PART = FACTS.c.part_frame_id


class WaitingFor(StrEnum):
    """Why a part waits for a person."""

    DISAGREEMENT = "disagreement"
    """Two people judged it differently, the second without seeing the first; it waits for a third.
    """
    HOLD = "hold"
    """The line held it, and for none of the next three reasons."""
    UNKNOWN = "unknown"
    """Nobody could name what is odd."""
    UNSURE = "unsure"
    """The class was too uncertain."""
    LATE = "late"
    """Nobody had decided in time."""
    SECOND = "second"
    """It was drawn for a second person, who sees nothing of the first."""
    AUDIT = "audit"
    """It passed and was drawn for a blind audit."""
    REJECT = "reject"
    """It was sorted out, under a class or a rule; in random order."""

    @property
    def is_blind(self) -> bool:
        """Whether the reviewer must see no verdict before giving one."""
        return self in (WaitingFor.SECOND, WaitingFor.AUDIT)


class WaitingPart(Record):
    """A part that waits, and why."""

    part_frame_id: UUID
    waits_for: WaitingFor


class ReferencePart(Record):
    """A good part to compare with."""

    frame_id: UUID
    is_reviewed: bool
    """Whether a person called it normal; else it passed as normal and nobody looked."""


class RejectCount(Record):
    """How many of the parts that were stopped and reviewed were good."""

    stopped: int
    reviewed: int
    """Stopped and reviewed as normal, negligible or a defect."""
    false_alarms: int
    """Of them: normal or negligible."""
    undecided: int
    """Stopped and reviewed as ``unknown``."""


def _has_picture(part: ColumnElement[UUID]) -> ColumnElement[bool]:
    kept = select(_ANOMALY.frame_id).where(_ANOMALY.image_key.is_not(None))
    return or_(
        exists(kept.where(_ANOMALY.frame_id == part)),
        exists(kept.where(_ANOMALY.frame_id.in_(shots_of(part)))),
    )


_OF_STOPPED: Final = (
    WaitingFor.HOLD,
    WaitingFor.UNKNOWN,
    WaitingFor.UNSURE,
    WaitingFor.LATE,
    WaitingFor.REJECT,
)


def waiting_query(
    waits_for: WaitingFor,
    wanted: FrameFilter,
    reviewer: str,
    second_share: float,
    judges: Collection[str] = (),
) -> Question:
    """The parts that wait for one reason, the first to be reviewed first.

    Args:
        waits_for: the reason.
        wanted: of which parts.
        reviewer: who asks: nobody is their own second, nor settles what they said themselves.
        second_share: share of the reviewed parts that get a second review where the policy that
            judged them does not say.
        judges: roles of the people who review; where none of them is a third, the two settle it.
    """
    if waits_for is WaitingFor.AUDIT:
        return _audits(wanted)
    query = select(_PART).where(*wanted.conditions(FACTS), _has_picture(_PART))
    if waits_for in _OF_STOPPED:
        query = query.where(
            FACTS.c.action != "pass",
            FACTS.c.review_severity.is_(None),
            literal_column(WHY_STOPPED) == waits_for.value,
        )
        if waits_for is WaitingFor.REJECT:
            return query.order_by(func.md5(cast(_PART, Text)))
        return query.order_by(FACTS.c.captured_at.desc(), _PART.desc())
    query = query.where(FACTS.c.review_severity.is_not(None))
    if waits_for is WaitingFor.DISAGREEMENT:
        query = query.where(is_contradicted(), is_disputed(), may_settle(reviewer, judges))
    else:
        query = query.where(_asks_second(reviewer, second_share))
    return query.order_by(FACTS.c.captured_at, _PART)


def _audits(wanted: FrameFilter) -> Question:
    """The open ones of ``history.audits.SAMPLE`` in its order, found by index in the facts."""
    own = cast(_VERSION.body.op("->>")("audit_share"), Double).label("share")
    shares = select(_VERSION.policy_hash, own).offset(0).subquery()  # each policy is read once
    counts = or_(STANDING.c.is_blind, STANDING.c.is_settlement)
    judged = select(STANDING.c.review_id).where(is_of_part(STANDING), counts).correlate(FACTS)
    query: Question = (
        select(_PART)
        .select_from(FACTS.join(shares, shares.c.policy_hash == FACTS.c.policy_hash))
        .where(
            FACTS.c.action == "pass",
            may_be_drawn(_PART),
            func.audit_draw(_PART) < shares.c.share,
            or_(FACTS.c.review_severity.is_(None), ~exists(judged)),
            _has_picture(_PART),
            *wanted.conditions(FACTS),
        )
    )
    return query.order_by(func.md5(cast(_PART, Text)))


def _asks_second(reviewer: str, second_share: float) -> ColumnElement[bool]:
    """One person reviewed it, not who asks, and it was drawn: by a hash that nobody chooses."""
    draw: ColumnElement[float] = literal_column(SECOND_DRAW, Double)
    own = cast(_VERSION.body.op("->>")("second_review"), Double)
    highest = select(func.greatest(func.max(own), second_share)).scalar_subquery()
    stated = select(own).where(_VERSION.policy_hash == FACTS.c.policy_hash)
    share = func.coalesce(stated.correlate(FACTS).scalar_subquery(), second_share)
    person = person_in(STANDING.c.reviewer)
    is_own = exists().where(is_of_part(STANDING), person == person_of(reviewer)).correlate(FACTS)
    people = select(func.count(person.distinct())).where(is_of_part(STANDING))
    return and_(
        draw < highest, draw < share, people.correlate(FACTS).scalar_subquery() == 1, ~is_own
    )


class ReviewQueue:
    """Questions of whoever reviews; each raises ``UnavailableError`` when the database is down.

    Args:
        history: through which they are asked.
        second_share: share of the reviewed parts that a second person reviews where the policy
            does not say, 0 to 1.
        judges: roles of the people who review.
    """

    def __init__(
        self, history: History, second_share: float = 0.0, judges: Collection[str] = ()
    ) -> None:
        self._history, self._second_share, self._judges = history, second_share, judges

    async def waiting(
        self,
        waits_for: WaitingFor,
        wanted: FrameFilter,
        reviewer: str,
        without: Collection[UUID] = (),
        limit: int = 1,
    ) -> list[WaitingPart]:
        """The next parts, but for those that are somebody's already."""
        query = self._query(waits_for, wanted, reviewer).limit(limit)
        if without:
            query = query.where(_PART.not_in(list(without)))
        async with self._history.asking("reading the queue of reviews") as link:
            found = (await link.execute(query)).scalars().all()
        return [WaitingPart(part_frame_id=UUID(str(p)), waits_for=waits_for) for p in found]

    async def counts(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> dict[WaitingFor, int]:
        """How many wait for each reason, as far as ``MOST_COUNTED``."""
        found: dict[WaitingFor, int] = {}
        async with self._history.asking("counting the queue of reviews") as link:
            for reason in reasons:
                query = self._query(reason, wanted, reviewer)
                some = query.order_by(None).limit(MOST_COUNTED).subquery()
                found[reason] = await link.scalar(select(func.count()).select_from(some)) or 0
        return found

    async def oldest(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> dict[WaitingFor, datetime]:
        """When the part was captured that waits longest, of each reason for which parts wait."""
        found: dict[WaitingFor, datetime] = {}
        async with self._history.asking("looking for what waits longest") as link:
            for reason in reasons:
                query = self._query(reason, wanted, reviewer)
                first = query.with_only_columns(FACTS.c.captured_at).order_by(None)
                at = await link.scalar(first.order_by(FACTS.c.captured_at).limit(1))
                if at is not None:
                    found[reason] = at
        return found

    def _query(self, waits_for: WaitingFor, wanted: FrameFilter, reviewer: str) -> Question:
        return waiting_query(waits_for, wanted, reviewer, self._second_share, self._judges)

    async def references(self, product: str, station: str) -> list[ReferencePart]:
        """Good parts of the product at the station with a picture, those that people saw first."""
        of_product = (FACTS.c.product_id == product, FACTS.c.station == station)
        called_normal = FACTS.c.review_severity == "normal"
        unseen = and_(FACTS.c.review_severity.is_(None), FACTS.c.severity == "normal")
        found: list[ReferencePart] = []
        async with self._history.asking("looking for a good part") as link:
            for good, is_reviewed in ((called_normal, True), (unseen, False)):
                query = (
                    select(_PART)
                    .where(*of_product, good, FACTS.c.action == "pass", _has_picture(_PART))
                    .order_by(FACTS.c.captured_at.desc(), _PART.desc())
                    .limit(REFERENCES)
                )
                frames = (await link.execute(query)).scalars()
                found += [ReferencePart(frame_id=p, is_reviewed=is_reviewed) for p in frames]
                if found:
                    break
        return found

    async def policy_body(self, policy_hash: str) -> dict[str, object]:
        """The policy that judged a part; empty where the history does not have it."""
        query = select(_VERSION.body).where(_VERSION.policy_hash == policy_hash)
        async with self._history.asking("reading a policy") as link:
            body = await link.scalar(query)
        return dict(body) if body else {}

    async def rejects(self, wanted: FrameFilter) -> RejectCount:
        """False alarms among the parts that were stopped and reviewed.

        It is of the stopped parts only where those that are reviewed were not chosen: the reason
        ``REJECT`` gives them in random order.
        """
        parts = counted_parts(wanted, ("action", "review_severity"))
        query: Question = (
            select(parts.c.review_severity, func.sum(parts.c.n).label("n"))
            .where(parts.c.action != "pass")
            .group_by(parts.c.review_severity)
        )
        async with self._history.asking("counting reviews") as link:
            rows = (await link.execute(query)).mappings().all()
        said = {row["review_severity"]: int(row["n"]) for row in rows}
        good = said.get("normal", 0) + said.get("negligible", 0)
        return RejectCount(
            stopped=sum(said.values()),
            reviewed=good + said.get("defect", 0),
            false_alarms=good,
            undecided=said.get("unknown", 0),
        )
