"""When a journal is written anew, what is kept, and what a cut leaves of a line."""

import asyncio
import errno
import io
import os
from pathlib import Path

import pytest

from connectors.errors import JournalError
from connectors.gateway import journal as journal_module
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import (
    StepLine,
    encode_line,
    replay,
)
from connectors.gateway.journal_frames import framed
from connectors.handshake import PartKey
from tests.connectors.handshake_state import part
from tests.connectors.journal_lines import entry
from tests.waiting import until


def opened(path: Path, **options: int) -> Journal:
    journal = Journal(path, **options)
    journal.open()
    return journal


@pytest.mark.asyncio
async def test_a_file_at_its_limit_is_appended_to_and_one_over_it_is_written_anew(
    tmp_path: Path,
) -> None:
    line = framed([encode_line(entry(1))], 0)
    rewrites: list[int] = []
    for limit in (2 * len(line), 2 * len(line) - 1):
        journal = opened(tmp_path / f"{limit}.journal", limit_bytes=limit)
        rewrite = journal._rewrite

        def counted(data: bytes, rewrite=rewrite) -> None:
            rewrites.append(len(data))
            rewrite(data)

        journal._rewrite = counted  # type: ignore[method-assign]
        journal.append(entry(1))
        await journal.commit()
        assert journal.path.stat().st_size == len(line)
        journal.append(entry(2))
        await journal.commit()
        await journal.close()
        if limit == 2 * len(line):
            assert rewrites == []
    assert len(rewrites) == 1


@pytest.mark.asyncio
async def test_a_file_of_open_parts_alone_may_grow_to_twice_their_size(tmp_path: Path) -> None:
    journal = opened(tmp_path / "line.journal", limit_bytes=10)
    for seq in range(1, 6):
        journal.append(entry(seq))
        await journal.commit()
    assert journal._limit >= journal.path.stat().st_size
    assert isinstance(journal._limit, int)
    await journal.close()


@pytest.mark.asyncio
async def test_the_newest_closed_parts_are_kept_and_every_open_one(tmp_path: Path) -> None:
    journal = opened(tmp_path / "line.journal", keep_closed=2)
    for seq in range(1, 6):
        journal.append(entry(seq))
        if seq != 2:
            journal.append(StepLine(t="closed", k=PartKey(1, seq)))
    journal.compact()
    await journal.commit()
    assert [key.trigger_seq for key in journal.entries] == [2, 4, 5]
    journal.compact()
    await journal.commit()
    assert [key.trigger_seq for key in journal.entries] == [2, 4, 5]
    await journal.close()


@pytest.mark.asyncio
async def test_a_compaction_without_room_leaves_the_file_and_tries_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path / "line.journal", limit_bytes=100)

    def no_room(data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal, "_rewrite", no_room)
    journal.append(entry(1))
    await journal.commit()
    assert journal._limit == 150, "half as much again, so that not every line tries"
    assert replay(journal.path.read_bytes())[0].entries.keys() == {PartKey(1, 1)}
    journal.compact()
    with pytest.raises(JournalError):
        await journal.commit()
    monkeypatch.undo()
    await journal.commit()
    await journal.close()


@pytest.mark.asyncio
async def test_what_waits_for_a_failed_disk_is_bounded_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_MOST_WAITING", 400)
    faults: list[bool] = []
    journal = opened(tmp_path / "line.journal")
    journal.on_fault = lambda error: faults.append(error is not None)
    works = journal_module._write_all

    def broken(file: object, data: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(journal_module, "_write_all", broken)
    journal.append(entry(1))
    with pytest.raises(JournalError):
        await journal.commit()
    assert not journal._whole_next
    assert len(journal._pending) == 1
    for seq in range(2, 6):
        journal.append(entry(seq))
    with pytest.raises(JournalError):
        await journal.commit()
    assert (journal._pending, journal._whole_next) == ([], True)
    monkeypatch.setattr(journal_module, "_write_all", works)
    await until(lambda: not journal._whole_next)
    assert faults == [True, False]
    assert len(replay(journal.path.read_bytes())[0].entries) == 5
    await journal.close()


@pytest.mark.asyncio
async def test_a_write_that_failed_half_way_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path / "line.journal")
    journal.append(entry(1))
    await journal.commit()
    works = journal_module._write_all

    def half(file: object, data: bytes) -> None:
        works(file, data[: len(data) // 2])  # type: ignore[arg-type]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal_module, "_write_all", half)
    journal.append(entry(2))
    with pytest.raises(JournalError):
        await journal.commit()
    assert not journal._torn
    monkeypatch.setattr(journal_module, "_write_all", works)
    await journal.commit()
    found, whole, _ = replay(journal.path.read_bytes())
    assert (len(found.entries), found.damage) == (2, [])
    assert whole == journal.path.stat().st_size
    await journal.close()


def test_only_a_file_that_was_just_made_needs_its_folder_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(journal_module, "sync_folder", synced.append)
    opened(tmp_path / "line.journal")._file.close()  # type: ignore[union-attr]
    assert synced == [tmp_path]
    (tmp_path / "line.journal").write_bytes(framed([encode_line(entry(1))], 0))
    opened(tmp_path / "line.journal")._file.close()  # type: ignore[union-attr]
    assert synced == [tmp_path]


def test_a_folder_that_stands_there_is_no_error_and_missing_ones_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "line.journal"
    for _ in range(2):
        opened(path)._file.close()  # type: ignore[union-attr]
    assert path.exists()


def test_a_torn_end_is_cut_off_and_a_whole_file_is_left_alone(tmp_path: Path) -> None:
    whole = framed([encode_line(entry(1))], 0)
    for data in (whole, whole + b"torn"):
        path = tmp_path / "line.journal"
        path.write_bytes(data)
        journal = opened(path)
        assert path.read_bytes() == whole
        assert not journal.damaged
        journal._file.close()  # type: ignore[union-attr]
    assert part().key == PartKey(1, 5)


@pytest.mark.asyncio
async def test_a_line_that_nobody_waits_for_is_soon_on_disk(tmp_path: Path) -> None:
    journal = opened(tmp_path / "line.journal")
    journal.append(entry(1))
    assert journal.path.stat().st_size == 0
    async with asyncio.timeout(10):
        await until(lambda: journal.path.stat().st_size > 0)
    await journal.close()


@pytest.mark.asyncio
async def test_what_waits_may_be_as_much_as_the_bound_and_a_healthy_file_is_never_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_MOST_WAITING", 10)
    journal = opened(tmp_path / "line.journal")
    assert not journal._torn
    journal._keep_waiting([bytes(4), bytes(6)])
    assert (len(journal._pending), journal._whole_next) == (2, False)
    journal._keep_waiting([bytes(1)])
    assert (journal._pending, journal._whole_next) == ([], True)
    for write in ("anew", "behind"):
        journal._torn = True
        journal.append(entry(1))
        await journal.commit()
        assert not journal._torn, write
    await journal.close()


def test_only_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    class Whole(io.BytesIO):
        def truncate(self, size: int | None = None) -> int:
            raise AssertionError("nothing is torn")

    Journal(tmp_path / "line.journal")._read(Whole(framed([encode_line(entry(1))], 0)))


@pytest.mark.asyncio
async def test_memory_holds_the_open_parts_and_few_more_than_the_closed_ones_asked_for(
    tmp_path: Path,
) -> None:
    journal, most = opened(tmp_path / "line.journal", keep_closed=16), 0
    for seq in range(1, 101):
        journal.append(entry(seq))
        if seq > 3:
            journal.append(StepLine(t="closed", k=PartKey(1, seq)))
        most = max(most, len(journal.entries))
    open_parts = [PartKey(1, seq) for seq in (1, 2, 3)]
    assert most <= 3 + 16 + 16 // 16 + 1
    assert list(journal.entries)[:3] == open_parts
    assert list(journal.entries)[-16:] == [PartKey(1, seq) for seq in range(85, 101)]
    await journal.commit()
    await journal.close()
    again = opened(journal.path, keep_closed=16)
    assert len(again.entries) == 100, "the file keeps them until it is written anew"
    again.append(entry(101))
    assert [key for key, one in again.entries.items() if not one.closed] == [
        *open_parts,
        PartKey(1, 101),
    ]
    assert len(again.entries) == 3 + 16 + 1
    await again.close()
