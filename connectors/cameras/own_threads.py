"""Blocking calls of a camera, away from the threads that the gateway's journal and spool use.

A network share that hangs or a name that is not resolved holds a thread for minutes, whatever
deadline the caller has. A few of those would hold all that the event loop lends, and no part could
be put on record any more.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from connectors.errors import CaptureError

T = TypeVar("T")
_MOST = 4
"""So many calls of a camera may hang; a further one is refused."""


class OwnThreads:
    """Each call in a daemon thread of its own; one that hangs is left behind.

    Args:
        name: of the camera, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._running = 0
        self._lock = threading.Lock()

    async def call(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises.

        Raises:
            CaptureError: earlier calls hang still.
        """
        with self._lock:
            if self._running >= _MOST:
                raise CaptureError(f"{self._name}: hangs; the last {_MOST} calls did not come back")
            self._running += 1
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()
        threading.Thread(target=self._run, args=(work, answer), name="camera", daemon=True).start()
        return await asyncio.wrap_future(answer)

    def _run(self, work: Callable[[], T], answer: "Future[T]") -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - the caller's to judge
            self._end()
            answer.set_exception(error)
        else:
            self._end()
            answer.set_result(found)

    def _end(self) -> None:
        with self._lock:
            self._running -= 1
