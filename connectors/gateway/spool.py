"""Messages wait on disk while the broker is down, and are sent in order once it is back."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from connectors.errors import SpoolFullError
from connectors.gateway.spool_files import decode, encode, write_file
from streams.backoff import backoff_s
from streams.envelope import Message, header_dict
from streams.errors import UnavailableError
from streams.ports import ImageStore, Publisher
from streams.topics import ACKS, DECISIONS, FRAMES, INLINE_LIMIT_BYTES

log = structlog.get_logger(__name__)
_RESERVE = 1.1
"""Decisions and acknowledgements may exceed the limit by a tenth: they are small and last."""
_PROBE_S = 1.0
"""A failing disk is asked this often whether it works again, seconds."""
_PROBE_BYTES = 64 << 10


class Spool:
    """One file per message, named by a running number; file and folder are synced before it counts.

    A file that is damaged is set aside as ``.bad``, with a log line; it never ends the gateway.

    Args:
        folder: where the files are; it survives a restart.
        limit_bytes: bound of all files together.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._files: deque[tuple[Path, int]] = deque()
        self._next = 0
        self._failing = False
        self.size_bytes = 0

    def open(self) -> None:
        """Find what an earlier run left. Blocks on the disk. Raises ``OSError``."""
        self._files.clear()
        self.size_bytes = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob("*.tmp"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        for path in sorted(self._folder.glob("*.msg")):
            if not (path.stem.isdecimal() and path.is_file()):
                self._aside(path, "no file of the spool")
                continue
            size = path.stat().st_size
            self._files.append((path, size))
            self.size_bytes += size
            self._next = int(path.stem) + 1

    def __len__(self) -> int:
        return len(self._files)

    @property
    def failing(self) -> bool:
        """Whether the disk refused the last message."""
        return self._failing

    @property
    def full(self) -> bool:
        """Whether over nine tenths of the limit are used, or the disk fails: no frame should be
        taken then."""
        return self._failing or self.size_bytes > 0.9 * self._limit

    async def put(self, topic: str, message: Message) -> None:
        """Keep a message; it is on disk when this returns.

        Raises:
            SpoolFullError: over the limit, or the disk did not take it.
        """
        data = encode(topic, message)
        limit = self._limit if topic == FRAMES.name else self._limit * _RESERVE
        if self.size_bytes + len(data) > limit:
            raise SpoolFullError(
                f"{self._folder}: {self.size_bytes} of {self._limit} bytes are used; bring the "
                "broker back, or raise gateway.spool_limit_mib"
            )
        path = self._folder / f"{self._next:020d}.msg"
        self._next += 1
        self.size_bytes += len(data)
        try:
            await asyncio.to_thread(write_file, path, data)
        except OSError as error:
            self._failing = True
            self.size_bytes -= len(data)
            raise SpoolFullError(f"{path}: {error.strerror}") from error
        self._failing = False
        self._files.append((path, len(data)))

    async def probe(self) -> None:
        """Ask a failing disk whether it takes files again."""
        path = self._folder / "probe.tmp"
        try:
            await asyncio.to_thread(write_file, path, b"0" * _PROBE_BYTES)
            await asyncio.to_thread(path.unlink, True)
        except OSError:
            return
        self._failing = False

    async def oldest(self) -> tuple[str, Message] | None:
        """The next message to send; those that cannot be read are set aside."""
        while self._files:
            path, _ = self._files[0]
            try:
                return decode(await asyncio.to_thread(path.read_bytes))
            except OSError as error:  # a disk that fails: the next start tries it again
                log.error("spool.unreadable", path=str(path), why=str(error))
                self._forget_oldest()
            except Exception as error:  # noqa: BLE001 - whatever stands in a file ends nobody
                self.set_oldest_aside(f"{type(error).__name__}: {error}")
        return None

    async def drop_oldest(self) -> None:
        """Remove the oldest message: the broker has it."""
        path = self._forget_oldest()
        try:
            await asyncio.to_thread(path.unlink, True)
        except OSError as error:  # sent again after a restart, and recognised by its identity
            log.warning("spool.not_removed", path=str(path), why=str(error))

    def set_oldest_aside(self, why: str) -> None:
        """Keep the oldest message as ``.bad``, out of the way of those behind it."""
        self._aside(self._forget_oldest(), why)

    def _forget_oldest(self) -> Path:
        path, size = self._files.popleft()
        self.size_bytes -= size
        return path

    def _aside(self, path: Path, why: str) -> None:
        log.error("spool.bad_file", path=str(path), why=why)
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(".bad"))


def historical(topic: str, message: Message, now: datetime) -> Message:
    """The message, marked ``is_historical`` if its part's deadline has passed.

    One that does not say its deadline stays as it is: its readers judge it.
    """
    try:
        return _historical(topic, message, now)
    except (ValueError, KeyError, TypeError, RecursionError):
        return message


def _historical(topic: str, message: Message, now: datetime) -> Message:
    if topic == FRAMES.name:
        deadline = header_dict(message.headers).get("ce_deadline", "")
        if deadline and datetime.fromisoformat(deadline) < now:
            headers = (*message.headers, ("ce_is_historical", b"true"))
            return Message(message.key, message.value, headers)
    elif topic in (DECISIONS.name, ACKS.name):
        body = json.loads(message.value)
        if datetime.fromisoformat(body["deadline"]) < now:
            value = json.dumps({**body, "is_historical": True}).encode()
            return Message(message.key, value, message.headers)
    return message


@dataclass(frozen=True)
class ReferencingPublisher:
    """Puts frames over the inline limit into object storage; the message then only names them."""

    publisher: Publisher
    images: ImageStore
    timeout_s: float

    async def send(self, topic: str, message: Message) -> None:
        if topic == FRAMES.name and len(message.value) > INLINE_LIMIT_BYTES:
            headers = header_dict(message.headers)
            content_type = headers.get("content-type", "application/octet-stream")
            try:
                async with asyncio.timeout(self.timeout_s):
                    await self.images.put(headers["ce_dataref"], message.value, content_type)
            except TimeoutError as error:
                raise UnavailableError(f"object storage took over {self.timeout_s:g} s") from error
            message = Message(message.key, b"", message.headers)
        await self.publisher.send(topic, message)


@dataclass(eq=False)
class SpoolingPublisher:
    """A publisher that never loses: what the broker does not take in time goes to the spool.

    New messages go straight to the broker once it is back; the spool follows beside them, oldest
    first, so that a part on the line never waits for history.

    Args:
        in_flight_bytes: bound of what is on its way; more is spooled.
        on_down: called with True when the broker is lost and False when it is back.
        on_full: called with True when the spool is full and False when it has room again.
    """

    publisher: Publisher
    spool: Spool
    _: KW_ONLY
    timeout_s: float
    in_flight_bytes: int
    on_down: Callable[[bool], None] = lambda _: None
    on_full: Callable[[bool], None] = lambda _: None

    def __post_init__(self) -> None:
        self._room = self.in_flight_bytes
        self._down = self._full = False
        self._stored, self._no_room = asyncio.Event(), asyncio.Event()
        if len(self.spool):
            self._stored.set()

    async def send(self, topic: str, message: Message) -> None:
        """Send or keep a message: the broker has it, or it is on disk, when this returns.

        Raises:
            SpoolFullError: neither could take it.
        """
        size = len(message.value)
        if not self._down and size <= self._room:
            self._room -= size
            try:
                await self._try(topic, message)
                return
            except UnavailableError as error:
                self._set_down(True, str(error))
            finally:
                self._room += size
        try:
            await self.spool.put(topic, message)
        except SpoolFullError:
            self._set_full(True)
            if not await self._sent_all_the_same(topic, message):
                raise
            return
        self._stored.set()
        self._set_full(self.spool.full)

    async def _sent_all_the_same(self, topic: str, message: Message) -> bool:
        """With no room on disk only the broker is left, even one that was lost before."""
        size = len(message.value)
        if not self._down or size > self._room:
            return False
        self._room -= size
        try:
            await self._try(topic, message)
        except UnavailableError:
            return False
        finally:
            self._room += size
        if not len(self.spool):
            self._set_down(False)
        return True

    async def run(self) -> None:
        """Send what is spooled, whenever the broker takes it. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain())
            group.create_task(self._watch_disk())

    async def _watch_disk(self) -> None:
        """A disk that refused a message is asked again, and says by itself that it has room."""
        while True:
            await self._no_room.wait()
            await asyncio.sleep(_PROBE_S)
            if self.spool.failing:
                await self.spool.probe()
            self._set_full(self.spool.full)

    async def _drain(self) -> None:
        attempt = 0
        while True:
            await self._stored.wait()
            found = await self.spool.oldest()
            if found is None:
                self._stored.clear()
                self._set_down(False)
                continue
            topic, message = found
            try:
                await self._try(topic, historical(topic, message, datetime.now(UTC)))
            except UnavailableError as error:
                self._set_down(True, str(error))
                await asyncio.sleep(backoff_s(attempt, 0.1, 5.0, jitter=0.5))
                attempt += 1
                continue
            except Exception as error:  # noqa: BLE001 - one message must not stop those behind it
                self.spool.set_oldest_aside(f"{type(error).__name__}: {error}")
                continue
            attempt = 0
            await self.spool.drop_oldest()
            self._set_down(False)
            self._set_full(self.spool.full)

    async def _try(self, topic: str, message: Message) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.publisher.send(topic, message)
        except TimeoutError as error:
            raise UnavailableError(f"the broker took over {self.timeout_s:g} s") from error

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
