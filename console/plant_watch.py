"""Asks now and then for what PostgreSQL and Ray Serve know, for whoever scrapes the console."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from console import metrics
from history.filters import FrameFilter
from history.review_queue import WaitingFor
from serving.ray.replicas import ApplicationStatus, ReplicaStatus, Spent
from streams.errors import AndonError
from streams.exposition import MetricRow, Read

log = structlog.get_logger(__name__)
REASONS: Final = tuple(reason for reason in WaitingFor if reason is not WaitingFor.REJECT)
"""Of what was sorted out under a class people look at a sample: it waits for nobody."""
_NAME: Final = 8
"""So many letters of a replica's name are told."""


class Queue(Protocol):
    """What waits for a person: ``history.review_queue.ReviewQueue``."""

    async def counts(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> Mapping[WaitingFor, int]: ...

    async def oldest(
        self, wanted: FrameFilter, reviewer: str, reasons: Sequence[WaitingFor]
    ) -> Mapping[WaitingFor, datetime]: ...


class Serving(Protocol):
    """What the replicas hold: ``serving.ray.replicas.ServeReplicas``."""

    async def look(self, timeout_s: float = 30.0) -> ApplicationStatus: ...

    async def close(self) -> None: ...


class PlantWatch:
    """What was found last. It runs beside the console's requests, and none waits for it.

    Args:
        queue: of the reviews.
        serving: the replicas behind Serve's ingress.
        feeds: whether all that stands in Kafka has been read.
        every_s: seconds from one look to the next.
        now: the time, for the age of what waits.
    """

    def __init__(
        self,
        queue: Queue,
        serving: Serving,
        feeds: Callable[[], bool],
        every_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._queue, self._serving, self._feeds = queue, serving, feeds
        self._every_s, self._now = every_s, now
        self._waiting: Mapping[WaitingFor, int] = {}
        self._oldest: Mapping[WaitingFor, datetime] = {}
        self._status: ApplicationStatus | None = None
        self._sees: dict[str, bool] = {}

    def reads(self) -> Mapping[MetricRow, Read]:
        """What is told of each metric that is asked for here."""
        return {
            metrics.SEES: self._seen,
            metrics.REVIEWS: lambda: {(why,): float(n) for why, n in self._waiting.items()},
            metrics.REVIEW_AGE: self._ages,
            metrics.REPLICAS_WANTED: self._wanted,
            metrics.REPLICAS: self._answering,
            metrics.PROBLEMS: self._problems,
            metrics.MODEL: self._models,
            metrics.BUILD: self._builds,
            metrics.WAITING: lambda: self._of_replica(lambda one: one.waiting),
            metrics.ANSWERS: self._answers,
            metrics.LLM_CALLS: lambda: self._asked(lambda spent: spent.calls),
            metrics.LLM_TOKENS: lambda: self._asked(lambda spent: spent.tokens),
            metrics.LLM_COST: lambda: self._asked(lambda spent: spent.money),
            metrics.CPU: lambda: self._of_replica(lambda one: one.cpu_seconds),
            metrics.MEMORY: lambda: self._of_replica(lambda one: one.resident_bytes),
        }

    async def run(self) -> None:
        """Look again and again; cancel it."""
        try:
            while True:
                await asyncio.gather(self.look_at_reviews(), self.look_at_replicas())
                await asyncio.sleep(self._every_s)
        finally:
            await self._serving.close()

    async def look_at_reviews(self) -> None:
        """Ask PostgreSQL what waits for a person; what is not known is not told."""
        everything = FrameFilter()
        try:
            counts = await self._queue.counts(everything, "", REASONS)
            oldest = await self._queue.oldest(everything, "", REASONS)
        except AndonError as error:
            self._waiting, self._oldest = {}, {}
            self._tell("postgres", str(error))
        else:
            self._waiting, self._oldest = counts, oldest
            self._tell("postgres", "")

    async def look_at_replicas(self) -> None:
        """Ask Serve's ingress what its replicas hold; what is not known is not told."""
        try:
            self._status = await self._serving.look(self._every_s)
        except AndonError as error:
            self._status = None
            self._tell("serve", str(error))
        else:
            self._tell("serve", "")

    def _tell(self, check: str, why: str) -> None:
        """The log has one line when something goes away, and one when it is back."""
        before, is_there = self._sees.get(check, True), not why
        self._sees[check] = is_there
        if before and why:
            log.warning("console.sees_not", check=check, why=why)
        elif is_there and not before:
            log.info("console.sees_again", check=check)

    def _seen(self) -> dict[tuple[str, ...], float]:
        found = {**self._sees, "kafka": self._feeds()}
        return {(check,): float(is_there) for check, is_there in found.items()}

    def _ages(self) -> dict[tuple[str, ...], float]:
        """Seconds by reason; 0 where nothing waits."""
        now = self._now()
        ages: dict[tuple[str, ...], float] = {
            (why,): 0.0 for why, count in self._waiting.items() if not count
        }
        for why, at in self._oldest.items():
            ages[why,] = max((now - at).total_seconds(), 0.0)
        return ages

    def _wanted(self) -> dict[tuple[str, ...], float]:
        expected = self._status.expected if self._status else {}
        return {(name,): float(count) for name, count in expected.items()}

    def _answering(self) -> dict[tuple[str, ...], float]:
        if self._status is None:
            return {}
        expected = self._status.expected
        return {(name,): float(len(self._status.of(name))) for name in expected}

    def _problems(self) -> dict[tuple[str, ...], float]:
        """Of each product that a replica knows: 0 is told too, so that an alert sees it end."""
        found: Counter[tuple[str, ...]] = Counter()
        for one in self._replicas():
            found.update({(one.deployment, product): 0 for product in one.versions})
            found.update((one.deployment, product) for product in one.problems)
        return {labels: float(count) for labels, count in found.items()}

    def _models(self) -> dict[tuple[str, ...], float]:
        found = Counter(
            (one.deployment, product, version)
            for one in self._replicas()
            for product, version in one.versions.items()
        )
        return {labels: float(count) for labels, count in found.items()}

    def _builds(self) -> dict[tuple[str, ...], float]:
        found = Counter((one.deployment, one.build) for one in self._replicas())
        return {labels: float(count) for labels, count in found.items()}

    def _answers(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for one in self._replicas():
            name = one.replica[:_NAME]
            found[one.deployment, name, "scored"] = float(one.scored)
            found[one.deployment, name, "failed"] = float(one.failed)
        return found

    def _asked(self, value: Callable[[Spent], float]) -> dict[tuple[str, ...], float]:
        return {
            (one.replica[:_NAME], endpoint, result): float(value(spent))
            for one in self._replicas()
            for endpoint, by_result in one.asked.items()
            for result, spent in by_result.items()
        }

    def _of_replica(self, value: Callable[[ReplicaStatus], float]) -> dict[tuple[str, ...], float]:
        return {
            (one.deployment, one.replica[:_NAME]): float(value(one)) for one in self._replicas()
        }

    def _replicas(self) -> Sequence[ReplicaStatus]:
        return self._status.replicas if self._status else ()
