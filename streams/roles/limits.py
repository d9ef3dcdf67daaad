"""The limits role: counts the parts of each product on each line, and alerts at a crossing.

Two steps in one process. Decisions, which are partitioned by line and station, are sent on by line
and product. There each part is counted once, in one place, into a memory whose changelog is at the
broker before the part is acknowledged. No part's decision is changed.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Decision
from streams.kafka.delivery import Delivery
from streams.ports import Changelog, PolicySource
from streams.roles.config import LimitsConfig
from streams.roles.limits_core import (
    CountStep,
    Key,
    PartMemory,
    count,
    entry_message,
    part_message,
    restored,
)
from streams.roles.results import Results
from streams.topics import COUNTED, DECISIONS, PARTS, Topic

COUNTED_FROM: tuple[Topic, ...] = (DECISIONS, PARTS)
"""The topics that the role reads."""


@dataclass
class _Assignment:
    """What is remembered of one partition of ``andon.parts`` since it was assigned."""

    generation: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    memories: dict[Key, PartMemory] | None = None
    """None until the changelog has been read."""


@dataclass(eq=False)
class LimitsRole:
    """Handles a decision to its end: sent on by line and product, or counted there."""

    policies: PolicySource
    changelog: Changelog
    results: Results
    config: LimitsConfig
    _assigned: dict[int, _Assignment] = field(default_factory=dict, init=False)

    async def close(self) -> None:
        """Nothing to give up: all that is acknowledged is at the broker."""

    async def handle(self, delivery: Delivery) -> None:
        """One decision; returns once its consequence is at the broker."""
        assignment = self._assignment(delivery) if delivery.topic == PARTS.name else None
        try:
            decision = from_message(Decision, delivery.value, delivery.headers)
        except EventError as error:
            await self.failed(delivery, error)
            return
        decided_s = decision.decided_at.timestamp()
        self.results.clocks.heard(decision.key, decided_s, delivery)
        if assignment is not None:
            await self._count(decision, delivery, assignment)
        elif not decision.is_late:
            await self.results.send(PARTS.name, part_message(decision))

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen, or no decision: a dead letter."""
        await self.results.dead_letter(delivery, type(error).__name__, str(error))

    def _assignment(self, delivery: Delivery) -> _Assignment:
        """The partition's assignment; a new generation of the group begins from the changelog."""
        found = self._assigned.get(delivery.partition)
        if found is None or found.generation != delivery.generation:
            found = self._assigned[delivery.partition] = _Assignment(delivery.generation)
        return found

    async def _count(self, decision: Decision, delivery: Delivery, assignment: _Assignment) -> None:
        """Alerts first, in turn: no changelog says "exceeded" before its alert is at the broker."""
        async with assignment.turn:
            memories = assignment.memories
            if memories is None:
                memories = assignment.memories = await self._restored(delivery.partition)
            step = self._step(memories, decision)
            for alert in step.alerts:
                await self.results.alert(alert)
        if step.entry is not None:
            message = entry_message(step.entry, step.slot, delivery.partition)
            await self.results.send(COUNTED.name, message)

    def _step(self, memories: dict[Key, PartMemory], decision: Decision) -> CountStep:
        key = (decision.line, decision.product_id)
        memory = memories.get(key)
        if memory is None:
            memory = PartMemory(self.config.remembered_parts)
        policy = self.policies.for_product(decision.product_id)
        now = datetime.fromtimestamp(self.results.clocks.at_s(decision.key), UTC)
        step = count(memory, decision, policy, self.config, now)
        if len(memory):
            memories[key] = memory
        return step

    async def _restored(self, partition: int) -> dict[Key, PartMemory]:
        """What the changelog says, however long the broker is away."""
        read = partial(self.changelog.read, partition)
        entries = await self.results.until_available("changelog", read)
        return restored(entries, self.config.remembered_parts)
