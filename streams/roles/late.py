"""Answers that come long after the fallback: asked for now and then, while any may come."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streams.events import Anomaly, Classification
from streams.ports import Asked, LateAnswers
from streams.roles.config import FlowConfig
from streams.roles.metrics import RoleMetrics

FETCH_TIMEOUT_S = 2.0
"""Longest wait for one fetch; the next one asks again."""


@dataclass(frozen=True)
class LatePart:
    """An anomaly whose fallback stands, without its picture."""

    anomaly: Anomaly
    arrived_s: float
    """When the anomaly reached the role, seconds since the epoch."""


class LateParts:
    """The parts whose answer may still come: bounded in count and age, oldest dropped. Pure."""

    def __init__(self, most: int, age_s: float) -> None:
        self._most, self._age_s = most, age_s
        self._parts: OrderedDict[Asked, tuple[float, LatePart]] = OrderedDict()

    def remember(self, asked: Asked, part: LatePart, now_s: float) -> None:
        """Wait for the answer from now on; a part that is waited for already is not renewed."""
        self._parts.setdefault(asked, (now_s, part))
        if len(self._parts) > self._most:
            self._parts.popitem(last=False)

    def take(self, asked: Asked) -> LatePart | None:
        """Wait no more; the part, if it was waited for."""
        found = self._parts.pop(asked, None)
        return None if found is None else found[1]

    def waiting(self, now_s: float) -> list[Asked]:
        """What is waited for, oldest first."""
        while self._parts and next(iter(self._parts.values()))[0] < now_s - self._age_s:
            self._parts.popitem(last=False)
        return list(self._parts)


class LateCollector:
    """Fetches late answers every ``late_poll_s`` while parts wait for one, and not otherwise.

    Args:
        source: where the classifier keeps them.
        publish: called once for each part that is answered.
        metrics: counts fetches that failed.
        flow: interval and bounds.
    """

    def __init__(
        self,
        source: LateAnswers,
        publish: Callable[[LatePart, Classification], Awaitable[None]],
        metrics: RoleMetrics,
        flow: FlowConfig,
    ) -> None:
        self._source, self._publish, self._metrics = source, publish, metrics
        self._poll_s = flow.late_poll_s
        self._parts = LateParts(flow.late_parts, flow.late_age_s)
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Parts whose answer may still come."""
        return len(self._parts.waiting(time.time()))

    def remember(self, asked: Asked, part: LatePart) -> None:
        """An answer to ``asked`` may come: fetch it when it does."""
        self._parts.remember(asked, part, time.time())
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(), name="late-answers")

    def forget(self, asked: Asked) -> None:
        """Its answer came another way."""
        self._parts.take(asked)

    async def close(self) -> None:
        """Fetch no more; answers still to come are lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            wanted = self._parts.waiting(time.time())
            if not wanted:
                return
            try:
                await self._fetch(wanted)
            except Exception:  # noqa: BLE001 - nothing is decided here; the next fetch asks again
                self._metrics.retry("late_answers")

    async def _fetch(self, wanted: list[Asked]) -> None:
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            found = await self._source.late_answers(wanted, FETCH_TIMEOUT_S)
        if found is None:
            for asked in wanted:
                self._parts.take(asked)
            return
        for asked, answer in found.items():
            part = self._parts.take(asked)
            if part is None:
                continue
            try:
                await self._publish(part, answer)
            except BaseException:  # the broker is away, say: the next fetch finds it again
                self._parts.remember(asked, part, time.time())
                raise
