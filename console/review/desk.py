"""The desk at which parts are reviewed: gives the next ones, takes verdicts, takes them back.

One for the pages and for the API. A verdict goes to Kafka as a review, as one from a prompt does;
the role record stores it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from fastapi.concurrency import run_in_threadpool

from console.review.cards import GivenCard, card_of
from console.review.lessons import LessonAhead, LessonsAhead, SaidOfPart
from console.review.verdict import (
    ReviewClass,
    ReviewVerdict,
    classes_of,
    painted_region,
    severity_of,
)
from history.console_audit import ConsoleAudit, Deed
from history.errors import NotInHistoryError
from history.filters import FrameFilter
from history.queries import History
from history.records import Record
from history.review_leases import Lease, ReviewLeases
from history.review_queue import ReferencePart, ReviewQueue, WaitingFor
from history.reviews import ReviewerSaid, build_review, build_withdrawal, submit_review
from streams.codes import Severity
from streams.errors import AndonError, UnavailableError
from streams.events import Review
from streams.ports import Publisher

K = TypeVar("K")
V = TypeVar("V")
IN_TURN: Final = (
    WaitingFor.DISAGREEMENT,
    WaitingFor.HOLD,
    WaitingFor.UNKNOWN,
    WaitingFor.UNSURE,
    WaitingFor.LATE,
    WaitingFor.SECOND,
    WaitingFor.AUDIT,
)
"""The reasons in the order in which parts are given where none is asked for."""
MOST_CARDS: Final = 12
"""Parts that are given at once."""
_AT_ONCE: Final = 4
"""Cards that are read at the same time, each over a connection of its own."""
_UNDO: Final = 50
"""Verdicts of one person that can be taken back."""
_PEOPLE: Final = 200
_KEPT: Final = 200
"""Policies and reference pictures that are remembered."""


class NotYoursError(AndonError):
    """A verdict on a part that was not given to who says it, or is somebody else's by now."""


@dataclass(frozen=True)
class GivenVerdict:
    """A verdict that was taken, as long as it can be taken back."""

    review: Review
    lease: Lease
    judged: SaidOfPart


class TakenVerdict(Record):
    """What became of a verdict."""

    review_id: UUID
    frame_id: UUID
    part_id: str
    severity: str
    class_name: str
    is_blind: bool
    is_settlement: bool
    lesson: LessonAhead


class ReviewDesk:
    """Gives parts and takes verdicts.

    Args:
        history: has the parts.
        queue: says which of them wait.
        publisher: takes the reviews.
        audit: where it is written down who said what.
        lessons: says what a verdict will teach.
        leases: who reviews what, at every console.
    """

    def __init__(
        self,
        history: History,
        queue: ReviewQueue,
        publisher: Publisher,
        audit: ConsoleAudit,
        lessons: LessonsAhead,
        leases: ReviewLeases,
    ) -> None:
        self._history, self._queue, self._publisher = history, queue, publisher
        self._audit, self._lessons, self._leases = audit, lessons, leases
        self._given: OrderedDict[str, OrderedDict[UUID, GivenVerdict]] = OrderedDict()
        self._classes: OrderedDict[str, tuple[ReviewClass, ...]] = OrderedDict()
        self._references: OrderedDict[tuple[str, str], list[ReferencePart]] = OrderedDict()
        self._cards: OrderedDict[UUID, GivenCard] = OrderedDict()
        self._judging: set[UUID] = set()

    async def next_parts(
        self,
        who: str,
        wanted: FrameFilter,
        reasons: Sequence[WaitingFor] = IN_TURN,
        count: int = 1,
        fresh: bool = False,
    ) -> list[GivenCard]:
        """The next parts, which are then nobody else's for a while.

        Args:
            who: the reviewer.
            wanted: of which parts.
            reasons: why they wait, in the order in which they are given.
            count: how many at most.
            fresh: what the reviewer had before is free again first.
        """
        if fresh:
            await self._leases.release(who)
        found: list[GivenCard] = []
        for reason in reasons:
            while (left := min(count, MOST_CARDS) - len(found)) > 0:
                without = await self._leases.not_free(reason)
                parts = await self._queue.waiting(reason, wanted, who, without, left)
                taken = await self._leases.take((p.part_frame_id for p in parts), who, reason)
                got = [p for p in parts if p.part_frame_id in taken]
                for first in range(0, len(got), _AT_ONCE):
                    found += await asyncio.gather(
                        *(
                            self._card(p.part_frame_id, reason)
                            for p in got[first : first + _AT_ONCE]
                        )
                    )
                if len(parts) < left or not parts:
                    break
            if len(found) >= count:
                break
        return found

    async def chosen(self, who: str, part: UUID) -> GivenCard:
        """A part that the reviewer asks for by itself.

        Raises:
            NotInHistoryError: nothing is decided of it.
            NotYoursError: somebody else has it.
        """
        story_part = (await self._history.show(part)).frame_id
        if not await self._leases.take([story_part], who, None):
            raise NotYoursError("somebody else looks at this part just now")
        return await self._card(story_part, None)

    async def release(self, who: str, parts: Sequence[UUID] | None = None) -> None:
        """Parts that the reviewer does not want to judge after all."""
        await self._leases.release(who, parts)

    async def judge(self, verdict: ReviewVerdict, deed: Deed) -> TakenVerdict:
        """Take a verdict: written down in the audit, then sent.

        Args:
            verdict: what is said.
            deed: by whom, and how they are known.

        Raises:
            NotYoursError: the part is not the reviewer's, or its verdict is just being taken.
            BadQueryError: a class that the policy does not have, or a mask that is none.
            UnavailableError: nothing was taken; it may be said again.
        """
        if verdict.frame_id in self._judging:
            raise NotYoursError("a verdict on this part is just being taken")
        self._judging.add(verdict.frame_id)
        try:
            return await self._judge(verdict, deed)
        finally:
            self._judging.discard(verdict.frame_id)

    async def _judge(self, verdict: ReviewVerdict, deed: Deed) -> TakenVerdict:
        lease = await self._leases.of(verdict.frame_id, deed.actor)
        if lease is None:
            raise NotYoursError("this part was not given to you, or is somebody else's by now")
        given = self._cards.get(verdict.frame_id)
        if given is None or given.card.waits_for is not lease.waits_for:
            given = await self._card(verdict.frame_id, lease.waits_for)
        review = await self._review(verdict, given, lease, deed)
        said = f"{review.severity.value}{f' {review.class_name}' if review.class_name else ''}"
        kind = lease.waits_for.value if lease.waits_for is not None else "chosen"
        told = {"action": "review.add", "object": str(review.frame_id), "before": kind}
        told |= {"after": said, "reason": review.comment}
        await self._audit.append(deed.model_copy(update=told))
        await submit_review(self._publisher, review)
        with suppress(UnavailableError):  # the verdict is sent; its lease ends by itself
            await self._leases.judged(lease)
        self._cards.pop(verdict.frame_id, None)
        if review.severity is Severity.NORMAL:  # one more to compare with
            self._references.pop((given.card.product_id, given.card.station), None)
        judged = SaidOfPart(
            frame_id=verdict.frame_id,
            product_id=given.card.product_id,
            part_id=given.card.part_id,
            captured_at=given.card.captured_at,
            severity=review.severity,
            class_name=review.class_name,
            is_painted=review.region is not None,
        )
        self._remember(deed.actor, GivenVerdict(review, lease, judged))
        return TakenVerdict(
            review_id=review.review_id,
            frame_id=review.frame_id,
            part_id=judged.part_id,
            severity=review.severity.value,
            class_name=review.class_name,
            is_blind=review.is_blind,
            is_settlement=review.is_settlement,
            lesson=await self._lessons.of_verdict(judged),
        )

    async def undo(self, deed: Deed, review_id: UUID | None = None) -> GivenCard:
        """Take a verdict back and have its part again.

        Args:
            deed: by whom.
            review_id: which; the latest of the person without.

        Raises:
            NotInHistoryError: there is none that this console remembers.
            UnavailableError: nothing was taken back; it may be asked again.
        """
        own = self._given.get(deed.actor, OrderedDict())
        chosen = review_id if review_id is not None else next(reversed(own), None)
        given = own.get(chosen) if chosen is not None else None
        if given is None:
            raise NotInHistoryError("there is no verdict of yours that can be taken back here")
        part = str(given.review.frame_id)
        told = {"action": "review.withdraw", "object": part, "before": given.review.severity.value}
        await self._audit.append(deed.model_copy(update=told))
        await submit_review(self._publisher, build_withdrawal(given.review))
        own.pop(given.review.review_id, None)
        self._lessons.forget(given.judged)
        await self._leases.again(given.lease)
        return await self._card(given.lease.part, given.lease.waits_for)

    def undoable(self, who: str) -> list[GivenVerdict]:
        """What the person can take back, the latest first."""
        return [*reversed(self._given.get(who, {}).values())]

    async def _review(
        self, verdict: ReviewVerdict, given: GivenCard, lease: Lease, deed: Deed
    ) -> Review:
        frames = {verdict.frame_id, *(picture.frame_id for picture in given.card.pictures)}
        on = verdict.painted_on or verdict.frame_id
        if on not in frames:
            raise NotInHistoryError(f"{on} is no photograph of this part")
        region = None
        if verdict.painted is not None:
            region = await run_in_threadpool(painted_region, verdict.painted)
        return build_review(
            on if region is not None else verdict.frame_id,
            deed.actor,
            severity_of(verdict, given.classes),
            verdict.class_name,
            comment=verdict.comment,
            is_blind=lease.is_blind,
            said=ReviewerSaid(
                login=deed.login,
                region=region,
                is_settlement=lease.waits_for is WaitingFor.DISAGREEMENT,
            ),
        )

    async def _card(self, part: UUID, reason: WaitingFor | None) -> GivenCard:
        story = await self._history.show(part)
        if story.effective is None:
            raise NotInHistoryError(f"nothing is decided of {part}")
        policy_hash = story.effective.policy_hash
        if policy_hash not in self._classes:
            body = await self._queue.policy_body(policy_hash)
            _keep(self._classes, policy_hash, classes_of(body))
        where = story.effective.product_id, story.effective.station
        if where not in self._references:
            _keep(self._references, where, await self._queue.references(*where))
        beside = [one for one in self._references[where] if one.frame_id != part]
        given = GivenCard(card_of(story, reason, beside), self._classes[policy_hash])
        _keep(self._cards, part, given)
        return given

    def _remember(self, who: str, given: GivenVerdict) -> None:
        own = self._given.setdefault(who, OrderedDict())
        self._given.move_to_end(who)
        _keep(own, given.review.review_id, given, _UNDO)
        while len(self._given) > _PEOPLE:
            self._given.popitem(last=False)


def _keep(known: OrderedDict[K, V], key: K, value: V, most: int = _KEPT) -> None:
    """Remember something; the oldest beyond the most is forgotten."""
    known[key] = value
    while len(known) > most:
        known.popitem(last=False)
