"""What the broker does not take at once goes to the spool, and from there to the broker."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from itertools import islice

import structlog

from connectors.errors import SpoolFullError
from connectors.gateway.historical import historical
from connectors.gateway.refused_messages import as_outage, send_letter
from connectors.gateway.spool import Spool, SpooledFile
from streams.backoff import backoff_s
from streams.envelope import Message, header_dict
from streams.errors import UnavailableError
from streams.failures import Cause, PermanentError, cause_of
from streams.patience import Tries
from streams.ports import Publisher

log = structlog.get_logger(__name__)
_PROBE_S = 1.0
"""A failing disk is asked this often whether it works again, seconds."""
_ASIDE_AFTER = 6
"""So many failures of one message while others get through, and it becomes a dead letter."""
_IN_ORDER = 4
"""A message that failed so often lets those behind it try, so that it alone is found out."""
_TRIED_TOGETHER = 16
"""So many of the oldest messages are tried in turn while nothing gets through."""
_REMEMBERED, _LATEST = 200, 20
"""So many messages tell how long the quickest takes, and how long they take now."""
_FOR_NEW = 0.25
"""The share of what may be on its way that the spool leaves to new messages."""
_OVERDUE = 3.0
"""The broker counts as lost when a message takes so many times as long as they did before."""


@dataclass(eq=False)
class SpoolingPublisher:
    """A publisher that never loses: what the broker does not take in time goes to the spool.

    New messages go straight to the broker once it is back; the spool follows beside, oldest first.
    A message that takes long is kept on disk while it is under way, not sent again: a slow link
    carries each once. What the broker refuses for good becomes a dead letter.

    Args:
        timeout_s: a message that takes longer is kept on disk until the broker has it.
        in_flight_bytes: bound of what is on its way; more is spooled.
        at_once: how many messages may be on their way.
        tells_when_slow: whether a message that takes far longer than those before it says that
            the broker is lost; not where messages are large.
        wanted_bytes: how much of the spool keeps the link busy now; None: whatever has room.
        on_down: called with True when the broker is lost and False when it is back.
        on_full: called with True when the spool is full and False when it has room again.
    """

    publisher: Publisher
    spool: Spool
    _: KW_ONLY
    timeout_s: float
    in_flight_bytes: int
    at_once: int = 256
    tells_when_slow: bool = True
    wanted_bytes: Callable[[], float] | None = None
    on_down: Callable[[bool], None] = lambda _: None
    on_full: Callable[[bool], None] = lambda _: None

    def __post_init__(self) -> None:
        self._room = self.in_flight_bytes
        self._turns = asyncio.Semaphore(self.at_once)
        self._down = self._full = False
        self._spooled_bytes = 0
        self._served = 0
        self._usual_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._failed: list[SpooledFile] = []
        self._on_their_way: set[asyncio.Task[None]] = set()
        self._stored, self._no_room = asyncio.Event(), asyncio.Event()
        if len(self.spool):
            self._stored.set()

    def quickest_s(self) -> float:
        """How long the quickest of the last messages took, seconds; 0 before the first."""
        return min(self._recent_s, default=0.0)

    def usual_s(self) -> float:
        """How long the middle one of the latest messages took, seconds; 0 before the first."""
        latest = sorted(islice(reversed(self._recent_s), _LATEST))
        return latest[len(latest) // 2] if latest else 0.0

    async def send(self, topic: str, message: Message) -> None:
        """Send or keep a message: the broker has it, or it is on disk, when this returns.

        Raises:
            SpoolFullError: neither could take it.
        """
        if self._down or len(message.value) > self._room:
            await self._keep(topic, message)
            return
        sending = self._begin(topic, message)
        try:
            await asyncio.wait({sending}, timeout=self.timeout_s)
        except asyncio.CancelledError:
            sending.cancel()
            raise
        if sending.done():
            await self._conclude(topic, message, sending.exception())
        else:
            await self._keep_beside(topic, message, sending)

    def _begin(self, topic: str, message: Message) -> "asyncio.Task[None]":
        """The message on its way; it holds its bytes meanwhile."""
        size = len(message.value)
        self._room -= size

        async def sent() -> None:
            try:
                async with self._turns:
                    await self._timed(topic, message)
            finally:
                self._room += size

        task = asyncio.create_task(sent(), name=f"publish {topic}")
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)
        return task

    async def _conclude(self, topic: str, message: Message, error: BaseException | None) -> None:
        if isinstance(error, PermanentError):
            if await self._refused(topic, message, error):
                return
            error = as_outage(error)
        if isinstance(error, UnavailableError | TimeoutError):
            self._set_down(True, str(error))
            await self._keep(topic, message)
        elif error is not None:
            raise error

    async def _keep(self, topic: str, message: Message) -> None:
        try:
            await self.spool.put(topic, message)
        except SpoolFullError:
            self._set_full(True)
            if not await self._sent_all_the_same(topic, message):
                raise
            return
        self._stored.set()
        self._set_full(self.spool.full)

    async def _keep_beside(
        self, topic: str, message: Message, sending: "asyncio.Task[None]"
    ) -> None:
        """It is under way and takes long: on disk, until it has arrived."""
        if self.tells_when_slow and self._usual_s * _OVERDUE < self.timeout_s:
            self._set_down(True, f"no answer in {self.timeout_s:g} s")
        try:
            file = await self.spool.put(topic, message, is_taken=True)
        except SpoolFullError:
            self._set_full(True)
            await asyncio.wait({sending})
            await self._conclude(topic, message, sending.exception())
            return
        self._set_full(self.spool.full)

        served = self._served

        async def watched() -> None:
            await asyncio.wait({sending})
            error = None if sending.cancelled() else sending.exception()
            await self._arrived(file, topic, message, error, served)

        task = asyncio.create_task(watched(), name=f"kept {topic}")
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)

    async def _sent_all_the_same(self, topic: str, message: Message) -> bool:
        """With no room on disk only the broker is left, even one that was lost before."""
        if not self._down or len(message.value) > self._room:
            return False
        sending = self._begin(topic, message)
        await asyncio.wait({sending}, timeout=self.timeout_s)
        if not sending.done() or sending.exception() is not None:
            sending.cancel()
            return False
        if not len(self.spool):
            self._set_down(False)
        return True

    async def run(self) -> None:
        """Send what is spooled, whenever the broker takes it. Runs until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._drain())
                group.create_task(self._watch_disk())
        finally:
            for task in self._on_their_way:
                task.cancel()
            await asyncio.gather(*self._on_their_way, return_exceptions=True)

    async def _watch_disk(self) -> None:
        """A disk that refused a message is asked again, and says by itself that it has room."""
        while True:
            await self._no_room.wait()
            await asyncio.sleep(_PROBE_S)
            if self.spool.failing:
                await self.spool.probe()
            self._set_full(self.spool.full)

    async def _drain(self) -> None:
        """Oldest first, several at once; while the broker is lost, one at a time asks for it."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self._stored.wait()
                if self._may_take(len(under_way)):
                    self._stored.clear()
                    found = await self.spool.take(self._failed)
                    if found is not None:
                        self._stored.set()
                        self._hold(len(found[2].value))
                        task = asyncio.create_task(self._follow(*found), name="spool")
                        under_way.add(task)
                        task.add_done_callback(under_way.discard)
                        continue
                    if not len(self.spool):
                        self._set_down(False)
                if under_way:
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    self._stored.set()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _may_take(self, under_way: int) -> bool:
        """Whether another message of the spool may be on its way, beside so many."""
        if self._down or not under_way:
            return not under_way
        wanted = math.inf if self.wanted_bytes is None else self.wanted_bytes()
        has_room = self._room > _FOR_NEW * self.in_flight_bytes
        return has_room and under_way < self.at_once and self._spooled_bytes < wanted

    def _hold(self, size: int) -> None:
        self._room -= size
        self._spooled_bytes += size

    async def _follow(self, file: SpooledFile, topic: str, message: Message) -> None:
        """One message of the spool to the broker."""
        error: BaseException | None = None
        served = self._served
        try:
            async with self._turns:
                await self._timed(topic, historical(topic, message, datetime.now(UTC)))
        except Exception as failed:  # noqa: BLE001 - one message must not stop those behind it
            error = failed
        finally:
            self._hold(-len(message.value))
        await self._arrived(file, topic, message, error, served)
        if error is not None and file.tries is not None:
            await asyncio.sleep(backoff_s(file.tries.attempts - 1, 0.1, 5.0, jitter=0.5))

    async def _timed(self, topic: str, message: Message) -> None:
        began = time.monotonic()
        await self.publisher.send(topic, message)
        self._served += 1
        took_s = time.monotonic() - began
        self._usual_s = max(took_s, 0.9 * self._usual_s)
        self._recent_s.append(took_s)

    async def _arrived(
        self,
        file: SpooledFile,
        topic: str,
        message: Message,
        error: BaseException | None,
        served: int,
    ) -> None:
        """What becomes of a message of the spool that was under way.

        Args:
            served: how many had got through when it was begun.
        """
        if isinstance(error, PermanentError):
            if await self._refused(topic, message, error, file):
                self._set_full(self.spool.full)
                return
            error = as_outage(error)
        if error is None:
            self._failed.clear()
            await self.spool.drop(file)
            self._set_down(False)
        elif isinstance(error, UnavailableError | TimeoutError):
            file.tries = file.tries or Tries(_ASIDE_AFTER, self._served)
            if file.tries.failed(as_outage(error), self._served):
                await self._refused(topic, message, error, file, for_good=True)
                return
            if file.tries.attempts >= _IN_ORDER and file not in self._failed:
                self._failed = [*self._failed, file][-_TRIED_TOGETHER:]
            file.is_taken = False
            if self._served == served:  # else others got through meanwhile
                self._set_down(True, str(error))
            self._stored.set()
        else:
            self.spool.set_aside(file, f"{type(error).__name__}: {error}")
        self._set_full(self.spool.full)

    async def _refused(
        self,
        topic: str,
        message: Message,
        error: Exception,
        file: SpooledFile | None = None,
        for_good: bool = False,
    ) -> bool:
        """A dead letter; where the broker refuses even that, a ``.bad`` file of the spool. False
        where we may write neither: that is an outage, unless others get through (``for_good``).
        """
        failed = await send_letter(self.publisher, topic, message, error, self.timeout_s)
        if failed is None:
            if file is not None:
                await self.spool.drop(file)
            return True
        if not for_good and cause_of(error) is cause_of(failed) is Cause.NOT_ALLOWED:
            return False
        if file is None:
            try:
                file = await self.spool.put(topic, message, is_taken=True)
            except SpoolFullError as full:
                said = str(header_dict(message.headers))
                log.error("gateway.lost", topic=topic, why=str(full), message=said)
                return True
        self.spool.set_aside(file, f"{cause_of(error).name}: {error}")
        return True

    def _set_down(self, down: bool, why: str = "") -> None:
        if down != self._down:
            self._down = down
            log.warning("broker.down" if down else "broker.up", why=why, spooled=len(self.spool))
            self.on_down(down)

    def _set_full(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            (self._no_room.set if full else self._no_room.clear)()
            self.on_full(full)
