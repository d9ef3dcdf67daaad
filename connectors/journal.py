"""The gateway's memory: which trigger got which frame id, and how far it came.

Append-only lines ``crc32 json``, keyed by (PlcBootId, TriggerSeq) in one file per line and
station. A frame id is minted once, here; a result's number is on disk before the controller can
see it, so that a restarted gateway knows by reading ``ResultSeq`` back what was written.
"""

import asyncio
import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import structlog

from connectors.errors import JournalError
from connectors.handshake.values import PartKey, Verdict
from streams.codes import DecisionSource, ReasonCode, ResultCode
from streams.ports import Trigger

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class JournalEntry:
    """One trigger as far as it came. Times are seconds since the epoch."""

    key: PartKey
    frame_id: UUID
    trigger: Trigger
    triggered_at: float
    window_s: float
    missed: bool = False
    captured: bool = False
    published: bool = False
    verdict: Verdict | None = None
    decision: str = ""
    """The gateway's own decision as JSON, until the broker has it."""
    result_seq: int = 0
    written_at: float | None = None
    acknowledgement: str = ""
    """The outcome as JSON, until the broker has it."""
    closed: bool = False


@dataclass
class Recovered:
    """What a journal knew: the controller's run, its last trigger, and parts by key."""

    plc_boot_id: int | None = None
    last_trigger_seq: int = 0
    entries: dict[PartKey, JournalEntry] = field(default_factory=dict)
    corrupt_lines: int = 0


class Journal:
    """One writer, one file. ``append`` is immediate, ``commit`` returns once it is on disk.

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

    def append(self, kind: str, key: PartKey | None, **fields: Any) -> None:
        """Remember; on disk with the next ``commit``."""
        row = {"t": kind, **({"k": list(key)} if key else {}), **fields}
        line = json.dumps(row, separators=(",", ":")).encode()
        self._pending.append(b"%08x %s\n" % (zlib.crc32(line), line))
        _apply(self._known, row)

    async def commit(self) -> None:
        """Returns once everything appended so far is on disk.

        Raises:
            JournalError: the disk did not take it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync(), name="journal-sync")
        await future

    async def close(self) -> None:
        """Everything is on disk and the file released when this returns."""
        if self._file is None:
            return
        with contextlib.suppress(JournalError):
            await self.commit()
        if self._syncing is not None:
            await self._syncing
        self._file.close()
        self._file = None

    async def _sync(self) -> None:
        try:
            while self._waiters:
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
                    _fail(waiters, JournalError(f"{self.path}: {error}"))
                else:
                    _release(waiters)
        finally:
            self._syncing = None

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
        """Open parts and the newest closed ones, as a new journal."""
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


def replay(data: bytes) -> tuple[Recovered, int]:
    """What the lines say, and how many bytes of them are whole lines."""
    known = Recovered()
    good = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        good += len(line)
        crc, _, body = line.rstrip(b"\n").partition(b" ")
        try:
            if int(crc, 16) != zlib.crc32(body):
                raise ValueError("checksum")
            _apply(known, json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            known.corrupt_lines += 1
            log.error("journal.corrupt_line", why=str(error), at_byte=good - len(line))
    return known, good


def snapshot_lines(known: Recovered) -> Iterable[bytes]:
    """The fewest lines that replay to the same."""
    rows: list[dict[str, Any]] = []
    if known.plc_boot_id is not None:
        rows.append({"t": "run", "b": known.plc_boot_id, "s": known.last_trigger_seq})
    rows += [{"t": "part", "k": list(key), **_fields(e)} for key, e in known.entries.items()]
    for row in rows:
        line = json.dumps(row, separators=(",", ":")).encode()
        yield b"%08x %s\n" % (zlib.crc32(line), line)


def _apply(known: Recovered, row: Mapping[str, Any]) -> None:
    kind = row["t"]
    if kind == "run":
        if row.get("new"):
            known.entries = {k: e for k, e in known.entries.items() if k.plc_boot_id != row["b"]}
        known.plc_boot_id, known.last_trigger_seq = row["b"], row["s"]
        return
    key = PartKey(*row["k"])
    if kind in ("minted", "part"):
        known.entries[key] = _entry(key, row)
        if kind == "minted":
            known.plc_boot_id, known.last_trigger_seq = key
        return
    entry = known.entries.get(key)
    if entry is None:
        return
    known.entries[key] = _advance(entry, kind, row)


def _advance(entry: JournalEntry, kind: str, row: Mapping[str, Any]) -> JournalEntry:
    match kind:
        case "captured":
            return replace(entry, captured=True)
        case "published":
            return replace(entry, published=True)
        case "decided":
            return replace(entry, verdict=_verdict(row["v"]), decision=row.get("d", ""))
        case "decision_sent":
            return replace(entry, decision="")
        case "writing":
            return replace(entry, result_seq=row["r"], verdict=_verdict(row["v"]))
        case "written":
            return replace(entry, written_at=row["at"])
        case "outcome":
            return replace(entry, acknowledgement=row["a"])
        case "closed":
            return replace(entry, acknowledgement="", closed=True)
    return entry


def minted_fields(entry: JournalEntry) -> dict[str, Any]:
    """The fields of a ``minted`` line."""
    t = entry.trigger
    return {
        "f": str(entry.frame_id),
        "g": [t.part_id, t.lot_id, t.product_id, t.encoder_pos, t.takt_ms],
        "at": entry.triggered_at,
        "w": entry.window_s,
        "m": int(entry.missed),
    }


def verdict_fields(verdict: Verdict) -> list[Any]:
    """A verdict as JSON."""
    return [
        str(verdict.result_id),
        verdict.source.value,
        int(verdict.code),
        int(verdict.reason),
        verdict.class_id,
        verdict.score,
        verdict.decided_at,
    ]


def _verdict(row: list[Any]) -> Verdict:
    result_id, source, code, reason, *rest = row
    return Verdict(
        UUID(result_id), DecisionSource(source), ResultCode(code), ReasonCode(reason), *rest
    )


def _fields(entry: JournalEntry) -> dict[str, Any]:
    return {
        **minted_fields(entry),
        "c": int(entry.captured),
        "p": int(entry.published),
        "v": verdict_fields(entry.verdict) if entry.verdict else None,
        "d": entry.decision,
        "r": entry.result_seq,
        "wa": entry.written_at,
        "a": entry.acknowledgement,
        "z": int(entry.closed),
    }


def _entry(key: PartKey, row: Mapping[str, Any]) -> JournalEntry:
    part_id, lot_id, product_id, encoder_pos, takt_ms = row["g"]
    return JournalEntry(
        key=key,
        frame_id=UUID(row["f"]),
        trigger=Trigger(*key, part_id, lot_id, product_id, encoder_pos, takt_ms),
        triggered_at=row["at"],
        window_s=row["w"],
        missed=bool(row.get("m")),
        captured=bool(row.get("c")),
        published=bool(row.get("p")),
        verdict=_verdict(row["v"]) if row.get("v") else None,
        decision=row.get("d", ""),
        result_seq=row.get("r", 0),
        written_at=row.get("wa"),
        acknowledgement=row.get("a", ""),
        closed=bool(row.get("z")),
    )


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


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _fail(waiters: list[asyncio.Future[None]], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
