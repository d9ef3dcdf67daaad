"""Messages wait on disk while the broker is down, so that none is lost."""

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from connectors.errors import SpoolFullError
from connectors.gateway.spool_files import decode, encode, write_file
from streams.envelope import Message
from streams.patience import Tries
from streams.topics import FRAMES

log = structlog.get_logger(__name__)
_RESERVE = 1.1
"""Decisions and acknowledgements may exceed the limit by a tenth: they are small and last."""
_PROBE_BYTES = 64 << 10
_BAD_FILES = 1000
"""So many files that were set aside are kept in a folder, and"""
_BAD_SHARE = 0.1
"""so large a share of the limit may they take."""


@dataclass(eq=False)
class Budget:
    """The bytes that the lanes of a spool may use together."""

    limit: int
    used: int = 0


@dataclass(eq=False)
class SpooledFile:
    """One message on disk."""

    path: Path
    size: int
    is_taken: bool = False
    """Whether it is on its way to the broker."""
    tries: Tries | None = None
    """Its failures; None before the first."""


class Spool:
    """One file per message, named by a running number; file and folder are synced before it counts.

    A file that is damaged is set aside as ``.bad``, with a log line; it never ends the gateway. Of
    those the latest are kept, within bounds of number and bytes.

    Args:
        folder: where the files are; it survives a restart.
        limit: bound in bytes of all files together, or one that several spools share.
    """

    def __init__(self, folder: Path, limit: int | Budget) -> None:
        self._folder = folder
        self._budget = limit if isinstance(limit, Budget) else Budget(limit)
        self._files: dict[Path, SpooledFile] = {}
        self._next = 0
        self._failing = False
        self._bad: dict[Path, int] = {}
        """Files that were set aside, oldest first, and their bytes."""
        self._told_of_bad = False
        self.size_bytes = 0

    def open(self) -> None:
        """Find what an earlier run left. Blocks on the disk. Raises ``OSError``."""
        for file in list(self._files.values()):
            self._forget(file)
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob("*.tmp"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        bad = sorted(self._folder.glob("*.bad"))
        self._bad = {path: path.stat().st_size for path in bad if path.is_file()}
        self._bound_bad()
        for path in sorted(self._folder.glob("*.msg")):
            if not (path.stem.isdecimal() and path.is_file()):
                self._aside(path, "no file of the spool")
                continue
            self._remember(SpooledFile(path, path.stat().st_size))
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
        return self._failing or self._budget.used > 0.9 * self._budget.limit

    async def put(self, topic: str, message: Message, is_taken: bool = False) -> SpooledFile:
        """Keep a message; it is on disk when this returns.

        Args:
            is_taken: whether it is on its way to the broker already.

        Raises:
            SpoolFullError: over the limit, or the disk did not take it.
        """
        data = encode(topic, message)
        used, limit = self._budget.used, self._budget.limit
        if used + len(data) > (limit if topic == FRAMES.name else limit * _RESERVE):
            raise SpoolFullError(
                f"{self._folder}: {used} of {limit} bytes are used; bring the "
                "broker back, or raise gateway.spool_limit_mib"
            )
        file = SpooledFile(self._folder / f"{self._next:020d}.msg", len(data), is_taken=True)
        self._next += 1
        self._remember(file)
        try:
            await asyncio.to_thread(write_file, file.path, data)
        except OSError as error:
            self._failing = True
            self._forget(file)
            raise SpoolFullError(f"{file.path}: {error.strerror}") from error
        self._failing = False
        file.is_taken = is_taken
        return file

    async def probe(self) -> None:
        """Ask a failing disk whether it takes files again."""
        path = self._folder / "probe.tmp"
        try:
            await asyncio.to_thread(write_file, path, b"0" * _PROBE_BYTES)
            await asyncio.to_thread(path.unlink, True)
        except OSError:
            return
        self._failing = False

    async def take(
        self, later: Collection[SpooledFile] = ()
    ) -> tuple[SpooledFile, str, Message] | None:
        """The oldest message that is not on its way; those that cannot be read are set aside.

        Args:
            later: these only where there is no other.
        """
        while (file := self._oldest(later) or self._oldest(())) is not None:
            file.is_taken = True
            try:
                return file, *decode(await asyncio.to_thread(file.path.read_bytes))
            except OSError as error:  # a disk that fails: the next start tries it again
                log.error("spool.unreadable", path=str(file.path), why=str(error))
                self._forget(file)
            except Exception as error:  # noqa: BLE001 - whatever stands in a file ends nobody
                self.set_aside(file, f"{type(error).__name__}: {error}")
        return None

    async def drop(self, file: SpooledFile) -> None:
        """Remove a message: the broker has it."""
        self._forget(file)
        try:
            await asyncio.to_thread(file.path.unlink, True)
        except OSError as error:  # sent again after a restart, and recognised by its identity
            log.warning("spool.not_removed", path=str(file.path), why=str(error))

    def set_aside(self, file: SpooledFile, why: str) -> None:
        """Keep a message as ``.bad``, out of the way of those behind it."""
        self._forget(file)
        self._aside(file.path, why)

    def _oldest(self, later: Collection[SpooledFile]) -> SpooledFile | None:
        idle = (f for f in self._files.values() if not f.is_taken and f not in later)
        return next(idle, None)

    def _remember(self, file: SpooledFile) -> None:
        self._files[file.path] = file
        self.size_bytes += file.size
        self._budget.used += file.size

    def _forget(self, file: SpooledFile) -> None:
        if self._files.pop(file.path, None) is not None:
            self.size_bytes -= file.size
            self._budget.used -= file.size

    def _aside(self, path: Path, why: str) -> None:
        log.error("spool.bad_file", path=str(path), why=why)
        with contextlib.suppress(OSError):
            kept = path.rename(path.with_suffix(".bad"))
            if kept.is_file():
                self._bad[kept] = kept.stat().st_size
                self._bound_bad()

    def _bound_bad(self) -> None:
        """Remove the oldest of those that were set aside, beyond the bounds; says so once."""
        limit = _BAD_SHARE * self._budget.limit
        while len(self._bad) > _BAD_FILES or sum(self._bad.values()) > limit:
            oldest = next(iter(self._bad))
            size = self._bad.pop(oldest)
            if not self._told_of_bad:
                self._told_of_bad = True
                most = {"most_files": _BAD_FILES, "most_bytes": int(limit)}
                log.error("spool.bad_files_removed", oldest=str(oldest), size=size, **most)
            with contextlib.suppress(OSError):
                oldest.unlink()
