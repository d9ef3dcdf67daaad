"""The gateway's memory: which trigger got which frame id, and how far it came.

The file holds append-only lines ``crc32 json``, keyed by (PlcBootId, TriggerSeq); each line and
station has one. A frame id is minted once, here. A result's number is on disk before the controller
can see it, so that a restarted gateway learns from ``ResultSeq`` what was written.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import structlog

from connectors.errors import JournalError
from connectors.gateway.journal_entries import (
    JournalEntry,
    JournalLine,
    Recovered,
    apply_line,
    encode_line,
    replay,
    snapshot_lines,
)
from connectors.handshake.values import PartKey

log = structlog.get_logger(__name__)
_FLUSH_S = 0.2
"""A line that nobody waits for is on disk after this many seconds."""


class Journal:
    """One file with one writer. ``append`` is immediate; ``commit`` returns once all is on disk.

    Commits of several parts share one fsync, which runs off the event loop.

    Args:
        path: the journal's file; its folder is made.
        limit_bytes: compact when the file exceeds this.
        keep_closed: closed parts kept by a compaction, to recognise repeated decisions.
    """

    def __init__(self, path: Path, limit_bytes: int = 4 << 20, keep_closed: int = 4096) -> None:
        self.path = path
        self._limit = limit_bytes
        self._keep = keep_closed
        self._file: IO[bytes] | None = None
        self._known = Recovered()
        self._pending: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Task[None] | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._size = 0

    def open(self) -> Recovered:
        """Read, cut off a torn end, and stand ready to append. Blocks on the disk.

        Raises:
            JournalError: the file cannot be read or written, or another gateway holds it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
            _lock(self._file, self.path)
            self._file.seek(0)
            data = self._file.read()
            self._known, good = replay(data)
            if good < len(data):
                self._file.truncate(good)
            self._size = good
        except OSError as error:
            raise JournalError(f"{self.path}: {error}; is the state folder writable?") from error
        return self._known

    @property
    def entries(self) -> Mapping[PartKey, JournalEntry]:
        """Every trigger that is remembered, oldest first."""
        return self._known.entries

    def append(self, line: JournalLine) -> None:
        """Remember a line, which is on disk with the next ``commit``, or soon without one."""
        self._pending.append(encode_line(line))
        apply_line(self._known, line)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush is None and self._file is not None:
            self._flush = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        if self._pending:
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
                data, self._pending = b"".join(self._pending), []
                compact = self._size + len(data) > self._limit
                whole = self._snapshot() if compact else b""
                try:
                    if compact:
                        await asyncio.to_thread(self._rewrite, whole)
                    else:
                        await asyncio.to_thread(self._write, data)
                except OSError as error:
                    self._pending.insert(0, data)
                    _answer(waiters, JournalError(f"{self.path}: {error}"))
                else:
                    _answer(waiters, None)
                if not self._waiters:
                    return
        finally:
            self._syncing = None
            if self._pending:
                self._flush_soon()

    def _write(self, data: bytes) -> None:
        assert self._file is not None, "the journal is not open"
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            os.fdatasync(self._file.fileno())
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(data)

    def _snapshot(self) -> bytes:
        """A new journal of the open parts and the newest closed ones."""
        entries = self._known.entries
        closed = [key for key, entry in entries.items() if entry.closed]
        for key in closed[: max(len(closed) - self._keep, 0)]:
            del entries[key]
        return b"".join(snapshot_lines(self._known))

    def _rewrite(self, data: bytes) -> None:
        assert self._file is not None
        fresh = self.path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        file = fresh.open("a+b", buffering=0)
        _lock(file, fresh)
        file.write(data)
        os.fsync(file.fileno())
        fresh.replace(self.path)
        _sync_folder(self.path.parent)
        self._file.close()
        self._file, self._size = file, len(data)
        # A journal of open parts alone may exceed the limit: grow it rather than rewrite always.
        self._limit = max(self._limit, 2 * len(data))


def _lock(file: IO[bytes], path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise JournalError(
            f"{path}: another gateway serves this line and station; stop it first"
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _answer(waiters: list[asyncio.Future[None]], error: JournalError | None) -> None:
    for waiter in (w for w in waiters if not w.done()):
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
