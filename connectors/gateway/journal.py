"""The gateway's memory: which trigger got which frame id, and how far it came.

The file holds append-only lines with checksum and number, keyed by (PlcBootId, TriggerSeq); each
line and station has one. A frame id is minted once, here. A result's number is on disk before the
controller can see it, so that a restarted gateway learns from ``ResultSeq`` what was written, and
whether this file is the whole story.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import structlog

from connectors.errors import JournalBusyError, JournalError
from connectors.gateway.journal_entries import (
    JournalEntry,
    JournalLine,
    Recovered,
    apply_line,
    encode_line,
    replay,
    snapshot_lines,
)
from connectors.gateway.journal_frames import framed
from connectors.gateway.spool_files import sync_folder
from connectors.handshake.values import PartKey

log = structlog.get_logger(__name__)
_FLUSH_S = 0.2
"""A line that nobody waits for is on disk after this many seconds; a failed disk is tried again."""
_MOST_WAITING = 1 << 20
"""Bytes that wait for a failed disk; more are given up for one whole snapshot of what is known."""


class Journal:
    """One file with one writer. ``append`` is immediate; ``commit`` returns once all is on disk.

    Commits of several parts share one fsync, which runs off the event loop. A disk that fails is
    tried again by a timer, and takes everything that it missed.

    Args:
        path: the journal's file; its folder is made.
        limit_bytes: compact when the file exceeds this.
        keep_closed: closed parts that are remembered, to recognise repeated decisions; in memory
            a sixteenth more at most, in the file until the next compaction.
    """

    def __init__(self, path: Path, limit_bytes: int = 4 << 20, keep_closed: int = 4096) -> None:
        self.path = path
        self.on_fault: Callable[[JournalError | None], None] = lambda _: None
        """Called with the error when the disk begins to fail, and with None when it works again."""
        self._limit = limit_bytes
        self._keep = keep_closed
        self._most = keep_closed + keep_closed // 16
        self._file: IO[bytes] | None = None
        self._known = Recovered()
        self._pending: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Task[None] | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._size = 0
        self._last = 0
        self._whole_next = False
        self._torn = False
        self._failed = False

    def open(self) -> Recovered:
        """Read, cut off a torn end, and stand ready to append. Blocks on the disk; once is enough.

        A damaged file is read as far as it goes and kept beside as ``.bad``.

        Raises:
            JournalBusyError: another gateway holds it.
            JournalError: the file cannot be read or written.
        """
        if self._file is not None:
            return self._known
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+b", buffering=0)
            lock(file, self.path)
            try:
                self._read(file)
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise JournalError(f"{self.path}: {error}; is the state folder writable?") from error
        self._file = file
        return self._known

    def _read(self, file: IO[bytes]) -> None:
        file.seek(0)
        data = file.read()
        self._known, self._size, self._last = replay(data)
        if self._size < len(data):
            file.truncate(self._size)
        if not data:
            sync_folder(self.path.parent)
        if damage := self._known.damage:
            log.error("journal.damaged", path=str(self.path), found=len(damage), first=damage[:3])
            with contextlib.suppress(OSError):
                self.path.with_suffix(".bad").write_bytes(data)

    @property
    def entries(self) -> Mapping[PartKey, JournalEntry]:
        """Every trigger that is remembered, oldest first."""
        return self._known.entries

    @property
    def damaged(self) -> bool:
        """Whether the file was found damaged and has not been written anew since."""
        return bool(self._known.damage)

    def append(self, line: JournalLine) -> None:
        """Remember a line, which is on disk with the next ``commit``, or soon without one."""
        self._pending.append(encode_line(line))
        apply_line(self._known, line)
        if len(self._known.entries) > self._most:
            self._forget_oldest()
        self._flush_soon()

    def compact(self) -> None:
        """Write the whole file anew with what is known, with the next commit or soon."""
        self._whole_next = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush is None and self._file is not None:
            self._flush = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        if self._pending or self._whole_next:
            self._begin_sync()

    def _begin_sync(self) -> None:
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync(), name="journal-sync")

    async def commit(self) -> None:
        """Return once everything appended so far is on disk.

        Raises:
            JournalError: the disk did not take it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        self._begin_sync()
        await future

    async def close(self) -> None:
        """Everything is on disk and the file released when this returns."""
        if self._file is None:
            return
        if self._flush is not None:
            self._flush.cancel()
        with contextlib.suppress(JournalError):
            await self.commit()
        while self._syncing is not None:
            await self._syncing
        if self._flush is not None:
            self._flush.cancel()
        self._file.close()
        self._file = None

    async def _sync(self) -> None:
        """Write until nobody waits; lines that nobody waits for go with the next write."""
        try:
            while True:
                waiters, self._waiters = self._waiters, []
                bodies, self._pending = self._pending, []
                try:
                    await self._store(bodies)
                except OSError as error:
                    self._keep_waiting(bodies)
                    failure = JournalError(f"{self.path}: {error}")
                    self._say(failure)
                    _answer(waiters, failure)
                else:
                    self._say(None)
                    _answer(waiters, None)
                if not self._waiters:
                    return
        finally:
            self._syncing = None
            if self._pending or self._whole_next:
                self._flush_soon()

    async def _store(self, bodies: Sequence[bytes]) -> None:
        data = framed(bodies, self._last)
        if self._whole_next or self._size + len(data) > self._limit:
            snapshot = self._snapshot()
            try:
                await asyncio.to_thread(self._rewrite, framed(snapshot, 0))
            except OSError:
                if self._whole_next:
                    raise
                self._limit += self._limit // 2  # there may be room for the lines alone
            else:
                self._last, self._whole_next, self._known.damage = len(snapshot), False, []
                return
        await asyncio.to_thread(self._write, data)
        self._last += len(bodies)

    def _keep_waiting(self, bodies: list[bytes]) -> None:
        self._pending[:0] = bodies
        if sum(map(len, self._pending)) > _MOST_WAITING:
            self._pending.clear()
            self._whole_next = True

    def _say(self, error: JournalError | None) -> None:
        failed = error is not None
        if failed != self._failed:
            self._failed = failed
            self.on_fault(error)

    def _write(self, data: bytes) -> None:
        assert self._file is not None, "the journal is not open"
        if self._torn:
            self._file.truncate(self._size)
            self._torn = False
        try:
            _write_all(self._file, data)
            os.fdatasync(self._file.fileno())
        except OSError:
            self._torn = True
            self._file.truncate(self._size)
            self._torn = False
            raise
        self._size += len(data)

    def _snapshot(self) -> list[bytes]:
        """The lines of a new journal of the open parts and the newest closed ones."""
        self._forget_oldest()
        return list(snapshot_lines(self._known))

    def _forget_oldest(self) -> None:
        """All but the newest closed parts; however many are open, it is not done for each line."""
        entries = self._known.entries
        closed = [key for key, entry in entries.items() if entry.closed]
        for key in closed[: max(len(closed) - self._keep, 0)]:
            del entries[key]
        self._most = len(entries) + self._keep // 16

    def _rewrite(self, data: bytes) -> None:
        assert self._file is not None
        fresh = self.path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        file = fresh.open("a+b", buffering=0)
        try:
            lock(file, fresh)
            _write_all(file, data)
            os.fsync(file.fileno())
            fresh.replace(self.path)
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        self._file.close()
        self._file, self._size, self._torn = file, len(data), False
        # A journal of open parts alone may exceed the limit: grow it rather than rewrite always.
        self._limit = max(self._limit, 2 * len(data))
        sync_folder(self.path.parent)


def _write_all(file: IO[bytes], data: bytes) -> None:
    """A full disk takes a part of the bytes and says so by their count alone."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def lock(file: IO[bytes], path: Path) -> None:
    """Hold a journal's file until it is closed. Raises ``JournalBusyError``, and closes it then."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise JournalBusyError(
            f"{path}: another gateway serves this line and station; stop it first"
        ) from error


def _answer(waiters: list[asyncio.Future[None]], error: JournalError | None) -> None:
    for waiter in (w for w in waiters if not w.done()):
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
