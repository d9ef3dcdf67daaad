"""A version in the shadow: scored beside the one in force, recorded, never acted on.

Its share of the frames waits in a short queue and is scored one by one in a thread of the lowest
priority, and only begun while no frame waits for its answer. What it said is told with a later
answer of the product. Whatever it cannot do in time is left out.
"""

import asyncio
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from serving.experts.types import Image
from serving.ray.residents import Loaded
from streams.inspections import ShadowScore
from streams.masking import masking_logger

log = masking_logger(__name__)

WAITING = 8
"""Pictures that wait for the shadow; more are left out."""
TOLD_AT_ONCE = 8
"""Scores told with one answer."""
KEPT = 256
"""Scores that wait to be told, by product; the oldest go first."""
PAUSE_S = 0.02
"""Between two looks whether the replica is idle, seconds."""
LOWEST_PRIORITY = 19


@dataclass(frozen=True, eq=False)
class _Offered:
    product: str
    shadow: Loaded
    frame_id: UUID
    image: Image
    idle: Callable[[], bool]


class ShadowScorer:
    """Scores a share of the frames with the version in the shadow.

    Args:
        share: of a product's frames, 0 to 1; spread evenly.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._owed: dict[str, float] = defaultdict(float)
        self._waiting: deque[_Offered] = deque()
        self._told: dict[str, deque[ShadowScore]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow", initializer=_step_back)
        self._task: asyncio.Task[None] | None = None

    def offer(
        self, product: str, shadow: Loaded, frame_id: UUID, image: Image, idle: Callable[[], bool]
    ) -> None:
        """A frame that was answered; whether it is its turn is decided here.

        Args:
            idle: whether no frame waits for its answer.
        """
        self._owed[product] += self._share
        if self._owed[product] < 1.0:
            return
        self._owed[product] -= 1.0
        if len(self._waiting) >= WAITING:
            return
        self._waiting.append(_Offered(product, shadow, frame_id, image, idle))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    def take(self, product: str) -> tuple[ShadowScore, ...]:
        """Scores that were not told yet, the oldest first; they are told with an answer now."""
        told = self._told[product]
        return tuple(told.popleft() for _ in range(min(TOLD_AT_ONCE, len(told))))

    async def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if not self._waiting[0].idle():
                await asyncio.sleep(PAUSE_S)
                continue
            offered = self._waiting.popleft()
            found = await loop.run_in_executor(self._pool, _score, offered)
            if found is not None:
                self._told[offered.product].append(found)


def _score(offered: _Offered) -> ShadowScore | None:
    version = offered.shadow.version
    try:
        scored = offered.shadow.expert.score([offered.image], maps=False)[0]
    except Exception:  # what is in the shadow must never disturb the version in force
        log.exception("the version in the shadow, %s, failed", version[:12])
        return None
    return ShadowScore(
        frame_id=offered.frame_id,
        expert_version=version,
        score=scored.score,
        threshold=scored.threshold,
        anomalous=scored.anomalous,
    )


def _step_back() -> None:
    """Linux gives each thread a priority of its own."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
