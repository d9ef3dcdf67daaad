"""The journal on a disk that fails: tried again, bounded, and nothing half written is left."""

from pathlib import Path
from typing import IO

import pytest

from connectors.errors import JournalError
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import (
    StepLine,
    replay,
)
from tests.connectors.journal_parts import entry_of, mint
from tests.waiting import until

FULL = OSError(28, "No space left on device")


BROKEN = OSError(5, "Input/output error")


READ_ONLY = OSError(30, "Read-only file system")


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [FULL, BROKEN, READ_ONLY], ids=lambda e: e.strerror)
async def test_a_disk_that_fails_is_tried_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr("connectors.gateway.journal._FLUSH_S", 0.01)
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    told: list[bool] = []
    journal.on_fault = lambda failure: told.append(failure is not None)
    write = journal._write

    def fails(data: bytes) -> None:
        raise error

    monkeypatch.setattr(journal, "_write", fails)
    entry = entry_of(1)
    mint(journal, entry)
    with pytest.raises(JournalError, match=error.strerror):
        await journal.commit()
    journal.append(StepLine(t="captured", k=entry.key))
    assert told == [True]
    monkeypatch.setattr(journal, "_write", write)
    await until(lambda: told == [True, False])
    known, _, _ = replay(journal.path.read_bytes())
    assert (list(known.entries), known.entries[entry.key].captured) == ([entry.key], True)
    assert known.damage == []
    await journal.close()


@pytest.mark.asyncio
async def test_what_a_failing_disk_took_of_a_line_is_cut_off_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    mint(journal, entry_of(1))
    await journal.commit()
    assert journal._file is not None
    whole, half = journal._file, HalfWritten(journal._file)
    journal._file = half  # type: ignore[assignment]
    mint(journal, entry_of(2))
    with pytest.raises(JournalError):
        await journal.commit()
    assert half.left
    journal._file = whole
    await journal.commit()
    known, _, _ = replay(journal.path.read_bytes())
    assert (known.damage, len(known.entries)) == ([], 2)
    await journal.close()


class HalfWritten:
    """A file on a disk that takes half of what is written, then fails, truncation included."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.left = 0

    def write(self, data: bytes) -> int:
        if self.left:
            raise BROKEN
        self.left = len(data) // 2
        return self._file.write(data[: self.left])

    def truncate(self, size: int) -> int:
        raise BROKEN

    def fileno(self) -> int:
        return self._file.fileno()


@pytest.mark.asyncio
async def test_a_compaction_that_the_disk_does_not_take_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "line.journal", limit_bytes=2_000, keep_closed=1)
    journal.open()

    def full(data: bytes) -> None:
        raise FULL

    monkeypatch.setattr(journal, "_rewrite", full)
    for n in range(1, 30):
        mint(journal, entry_of(n))
        await journal.commit()
    known, _, _ = replay(journal.path.read_bytes())
    assert (known.damage, len(known.entries)) == ([], 29)
    await journal.close()


@pytest.mark.asyncio
async def test_a_long_outage_of_the_disk_holds_a_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.gateway.journal._MOST_WAITING", 5_000)
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    write, rewrite = journal._write, journal._rewrite

    def fails(data: bytes) -> None:
        raise FULL

    monkeypatch.setattr(journal, "_write", fails)
    monkeypatch.setattr(journal, "_rewrite", fails)
    for n in range(1, 100):
        mint(journal, entry_of(n))
        with pytest.raises(JournalError):
            await journal.commit()
        assert sum(map(len, journal._pending)) < 6_000
    monkeypatch.setattr(journal, "_write", write)
    monkeypatch.setattr(journal, "_rewrite", rewrite)
    await journal.commit()
    known, _, _ = replay(journal.path.read_bytes())
    assert (known.damage, len(known.entries)) == ([], 99)
    await journal.close()


@pytest.mark.asyncio
async def test_a_damaged_journal_is_kept_beside_and_written_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    for n in range(1, 4):
        mint(journal, entry_of(n))
    await journal.close()
    whole = journal.path.read_bytes()
    damaged = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    journal.path.write_bytes(damaged)
    again = Journal(journal.path)
    assert len(again.open().entries) == 2
    assert again.damaged
    assert journal.path.with_suffix(".bad").read_bytes() == damaged
    again.compact()
    await again.commit()
    assert not again.damaged
    await again.close()
    known, _, _ = replay(journal.path.read_bytes())
    assert (known.damage, len(known.entries)) == ([], 2)
