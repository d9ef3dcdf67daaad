"""Whether a part could be decided now, asked seldom and by a process of its own.

However many people look, one examination runs at a time, and what it found is shown for a while: a
click does not hammer the plant.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from pydantic import BaseModel

log = structlog.get_logger(__name__)
KEPT_S: Final = 60.0
"""What was found is shown for so long before anybody's look asks again, seconds."""
AGAIN_S: Final = 10.0
"""And for so long at least, even where somebody asks for it, seconds."""


class CheckRow(BaseModel):
    """What one check found, as ``andon doctor`` says it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    warns: bool = False
    """Whether parts are decided, and somebody should nevertheless look."""


class Examination(BaseModel):
    """What all checks found."""

    rows: tuple[CheckRow, ...] = ()
    asked_at: datetime
    took_s: float
    problem: str = ""
    """Why there are no rows."""


class Examine(Protocol):
    """Runs the checks. What it raises is shown to whoever asked."""

    async def __call__(self) -> Sequence[CheckRow]: ...


class HealthDesk:
    """Runs the checks when somebody looks, one run for all who do.

    Args:
        examine: runs them; it bounds its own time.
        clock: monotonic seconds.
    """

    def __init__(self, examine: Examine, clock: Callable[[], float] = time.monotonic) -> None:
        self._examine, self._clock = examine, clock
        self._task: asyncio.Task[None] | None = None
        self._done_s = 0.0
        self.last: Examination | None = None

    @property
    def is_running(self) -> bool:
        """Whether the checks run now."""
        return self._task is not None and not self._task.done()

    @property
    def age_s(self) -> float | None:
        """How long ago the last examination ended, seconds."""
        return None if self.last is None else self._clock() - self._done_s

    def ask(self, again: bool = False) -> None:
        """Have the checks run where what is known is too old.

        Args:
            again: somebody wants to know it anew.
        """
        limit_s = AGAIN_S if again else KEPT_S
        age_s = self.age_s
        if not self.is_running and (age_s is None or age_s >= limit_s):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="doctor")

    async def asked(self, again: bool = False) -> Examination:
        """What the checks find, at once where it is known and not too old."""
        self.ask(again)
        if self._task is not None and self.is_running:
            await asyncio.wait([self._task])
        assert self.last is not None
        return self.last

    async def close(self) -> None:
        """End an examination that runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        began, asked_at = self._clock(), datetime.now(UTC)
        rows: tuple[CheckRow, ...] = ()
        problem = ""
        try:
            rows = tuple(await self._examine())
        except Exception as error:  # noqa: BLE001 - whoever looks is told, and nothing else ends
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            log.warning("console.not_examined", why=problem)
        self._done_s = self._clock()
        took_s = round(self._done_s - began, 3)
        self.last = Examination(rows=rows, asked_at=asked_at, took_s=took_s, problem=problem[:500])
