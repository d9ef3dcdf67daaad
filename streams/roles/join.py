"""The join role: the verdicts on a part's shots in, the one decision of the part out.

Shots are keyed by line and station, so that a part is joined in one place. A verdict is
acknowledged only once the decision of its part is at the broker. So the topic itself is the memory:
after a crash the verdicts of every undecided part are delivered again, and nothing else is kept.
Some of a decided part may be among them; that others of it were acknowledged, the topic tells too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import structlog

from streams.envelope import from_message
from streams.errors import EventError, MalformedEventError, UnavailableError
from streams.events import ShotVerdict
from streams.kafka.delivery import Delivery
from streams.ports import PolicySource
from streams.roles.calls import beside_the_loop
from streams.roles.config import JoinConfig
from streams.roles.join_core import (
    CompletePart,
    JoinState,
    Judged,
    Tick,
    joined,
    remembering,
    step,
)
from streams.roles.results import Results
from streams.tracing.spans import PART

log = structlog.get_logger(__name__)
_RECALL_S = 2.0
"""So long the first verdicts of a partition wait for what was acknowledged before them."""
PartsBefore = Callable[[int, int], Awaitable[Mapping[int, UUID]]]
"""Partition and offset -> the parts of the verdicts before it, by their own offsets."""


async def _none(partition: int, offset: int) -> Mapping[int, UUID]:
    return {}


@dataclass
class _Joining:
    """What is remembered of one partition since it was assigned."""

    generation: int
    recalled: "asyncio.Task[None] | None" = None
    """Ends when it is known what was decided before the first verdict that is delivered."""
    delivered: set[int] = field(default_factory=set)
    """The offsets of the verdicts that wait for that."""
    state: JoinState = field(default_factory=JoinState)
    waiting: "dict[UUID, asyncio.Future[None]]" = field(default_factory=dict)
    """By part: resolved when its decision is at the broker."""
    timer: asyncio.TimerHandle | None = None

    def unschedule(self) -> None:
        """Take the next tick back."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def abandon(self) -> None:
        """Decide nothing more: what is open is delivered again."""
        self.unschedule()
        if self.recalled is not None:
            self.recalled.cancel()
        for decided in self.waiting.values():
            if not decided.done():
                decided.set_result(None)


@dataclass(eq=False)
class JoinRole:
    """Handles a verdict to the end of its part.

    Args:
        parts_before: which parts verdicts before an offset are of.
    """

    policies: PolicySource
    results: Results
    config: JoinConfig
    parts_before: PartsBefore = _none
    _assigned: dict[int, _Joining] = field(default_factory=dict, init=False)
    _sending: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def close(self) -> None:
        """Give up what is open; it is delivered again."""
        tasks, assigned = list(self._sending), list(self._assigned.values())
        self._assigned.clear()
        for joining in assigned:
            joining.abandon()
            tasks += [joining.recalled] if joining.recalled is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def handle(self, delivery: Delivery) -> None:
        """One verdict; returns once the decision of its part is at the broker."""
        joining = self._joining(delivery)
        try:
            verdict = read_verdict(delivery)
        except EventError as error:
            await self.failed(delivery, error)
            return
        if joining.recalled is not None and not joining.recalled.done():
            joining.delivered.add(delivery.offset)
            await asyncio.wait([joining.recalled])
        if self._assigned.get(delivery.partition) is not joining:
            return  # it is delivered again, to another generation
        PART.set(verdict)
        part = verdict.part_identity
        if part not in joining.state.decided:
            joining.waiting.setdefault(part, asyncio.get_running_loop().create_future())
        clocks = self.results.clocks
        self.results.heard(verdict, verdict.decided_at.timestamp(), delivery)
        end_s = clocks.due_s(verdict.key, verdict.deadline.timestamp())
        self._apply(joining, Judged(verdict, time.monotonic(), end_s))
        decided = joining.waiting.get(part)
        if decided is not None:
            await asyncio.shield(decided)

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen, or no verdict: a dead letter. The part goes on without the shot."""
        await self.results.dead_letter(delivery, type(error).__name__, str(error))

    def _joining(self, delivery: Delivery) -> _Joining:
        """The partition's memory; a new generation of the group is delivered everything again."""
        found = self._assigned.get(delivery.partition)
        if found is None or found.generation != delivery.generation:
            if found is not None:
                found.abandon()
            found = self._assigned[delivery.partition] = _Joining(delivery.generation)
            if delivery.offset > 0:
                recall = self._recall(found, delivery.partition, delivery.offset)
                found.recalled = asyncio.create_task(recall, name="join recalls")
        return found

    async def _recall(self, joining: _Joining, partition: int, offset: int) -> None:
        """A verdict that is not delivered again was acknowledged, so its part is decided."""
        try:
            async with asyncio.timeout(_RECALL_S):
                before = await self.parts_before(partition, offset)
        except (TimeoutError, UnavailableError) as error:
            why = str(error) or f"no answer in {_RECALL_S:g} s"
            log.warning("join.not_recalled", partition=partition, offset=offset, why=why)
        else:
            # the first that is handled need not be the first that was delivered
            parts = {part for at, part in before.items() if at not in joining.delivered}
            joining.state = remembering(joining.state, parts, time.monotonic(), self.config)

    def _apply(self, joining: _Joining, event: Judged | Tick) -> None:
        joining.state, complete = step(joining.state, event, self.config)
        for part in complete:
            task = asyncio.create_task(self._decide(part, joining))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        joining.unschedule()
        due_s = joining.state.next_due_s
        if due_s is not None:
            delay_s = max(due_s - time.monotonic(), 0.0)
            joining.timer = asyncio.get_running_loop().call_later(delay_s, self._tick, joining)

    def _tick(self, joining: _Joining) -> None:
        self._apply(joining, Tick(time.monotonic()))

    async def _decide(self, complete: CompletePart, joining: _Joining) -> None:
        decided = joining.waiting[complete.part]
        try:
            first = next(v for v in complete.shots if v is not None)
            policy = self.policies.for_product(first.product_id)
            decide = partial(joined, complete.shots, policy, self.results.moment(first.key))
            inspections = [shot.inspection for shot in complete.shots if shot is not None]
            await self.results.decision(await beside_the_loop(inspections, decide))
        except Exception as error:  # noqa: BLE001 - handed to the verdicts' handlers
            if not decided.done():
                decided.set_exception(error)
        else:
            if not decided.done():
                decided.set_result(None)
        finally:
            del joining.waiting[complete.part]


def read_verdict(delivery: Delivery) -> ShotVerdict:
    """The verdict of a message. Raises ``EventError``: it is none."""
    verdict = from_message(ShotVerdict, delivery.value, delivery.headers)
    if verdict.shot > verdict.shots_expected:
        raise MalformedEventError(f"shot {verdict.shot} of {verdict.shots_expected}")
    return verdict
