"""Says how a process is, on a topic of its own, by a connection of its own.

The line never waits for it: there is one message on its way at most, nothing is queued or tried
again, and what the broker does not take in time is dropped, for the next one says more.
"""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import structlog

from streams.envelope import to_message
from streams.errors import AndonError
from streams.log import Outage
from streams.ports import Publisher
from streams.status import ProcessStatus
from streams.topics import STATUS

log = structlog.get_logger(__name__)
LEAST_S: Final = 0.5
"""Nothing is said more often than so, however much changes, seconds."""
_LAST_WORD_S: Final = 1.0
"""How long a process that ends waits for its last word, seconds."""


class StatusTeller:
    """Says what ``look`` finds: at once where it is news, and now and then.

    Args:
        publisher: for this alone, so that nothing else queues behind it.
        look: how the process is now; it fills in neither ``number`` nor ``at`` nor ``every_s``.
        every_s: seconds between two messages when nothing changes.
        least_s: seconds between two messages at least.
    """

    def __init__(
        self,
        publisher: Publisher,
        look: Callable[[], ProcessStatus],
        every_s: float,
        least_s: float = LEAST_S,
    ) -> None:
        self._publisher, self._look = publisher, look
        self._every_s, self._least_s = every_s, min(least_s, every_s)
        self._number = 0
        self._outage = Outage()

    async def run(self) -> NoReturn:
        """Until cancelled; then says that the process ended, if that takes no time."""
        loop = asyncio.get_running_loop()
        news: object = None
        due = 0.0
        try:
            while True:
                try:
                    found = self._look()
                    if found.news != news or loop.time() >= due:
                        news, due = found.news, loop.time() + self._every_s
                        await self._say(found)
                        self._outage.ended()
                except Exception as error:  # noqa: BLE001 - whatever it is, no part is held up by it
                    self._failed(error)
                await asyncio.sleep(self._least_s)
        finally:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                async with asyncio.timeout(_LAST_WORD_S):
                    await self._say(self._look(), is_ended=True)

    async def _say(self, found: ProcessStatus, is_ended: bool = False) -> None:
        self._number += 1
        now = {"at": datetime.now(UTC), "number": self._number, "every_s": self._every_s}
        said = found.model_copy(update={**now, "is_ended": is_ended})
        await self._publisher.send(STATUS.name, to_message(said))

    def _failed(self, error: Exception) -> None:
        kind = type(error).__name__
        if (told := self._outage.failed(kind)) is not None:
            why = str(error) if isinstance(error, AndonError) else f"{kind}: {error}"
            log.warning("status.not_told", why=why, times=told.failures)


def place_of(state: Path) -> str:
    """Names this host and a state folder of it: the same again after a restart."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:4]}"
