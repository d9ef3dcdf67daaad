"""The journal: once minted, never again; torn ends, bit rot, bounded size."""

import asyncio
import json
import time
import zlib
from pathlib import Path

import pytest

from connectors.errors import JournalBusyError
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import (
    StepLine,
    encode_line,
    recover,
    replay,
    snapshot_lines,
)
from connectors.gateway.journal_frames import framed
from connectors.handshake import HandshakeConfig, PartKey, Phase
from streams.codes import DecisionSource, ResultCode
from streams.ids import new_frame_id
from tests.connectors.journal_parts import entry_of, finish, mint, verdict_for


@pytest.mark.asyncio
async def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "line.journal"
    journal = Journal(path)
    assert journal.open().entries == {}
    first, second = entry_of(1), entry_of(2)
    mint(journal, first)
    finish(journal, first, 1)
    mint(journal, second)
    await journal.commit()
    lost = entry_of(3)
    mint(journal, lost)  # never committed: the process dies here
    data = path.read_bytes()
    await journal.close()
    known, good, _ = replay(data)
    assert good == len(data)
    assert (known.plc_boot_id, known.last_trigger_seq) == (7, 2)
    assert known.entries[first.key].closed
    assert known.entries[first.key].verdict == verdict_for(first.frame_id)
    assert known.entries[second.key] == second


@pytest.mark.asyncio
async def test_a_torn_last_line_is_cut_off_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "line.journal"
    journal = Journal(path)
    journal.open()
    entries = [entry_of(n) for n in (1, 2)]
    for entry in entries:
        mint(journal, entry)
    await journal.close()
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        again = Journal(path)
        known = again.open()
        assert list(known.entries) == [entries[0].key]
        assert known.damage == []
        third = entry_of(3)
        mint(again, third)
        await again.close()
        assert list(replay(path.read_bytes())[0].entries) == [entries[0].key, third.key]


def test_a_damaged_line_is_skipped_and_counted() -> None:
    known, _, _ = replay(b"00000000 {}\nnonsense\n")
    assert len(known.damage) == 2


def test_a_line_that_is_missing_is_damage_and_one_that_was_never_whole_is_not() -> None:
    bodies = [encode_line(entry_of(n)) for n in (1, 2, 3)]
    lines = framed(bodies, 0).splitlines(keepends=True)
    assert replay(b"".join(lines))[0].damage == []
    assert replay(b"".join([lines[0], lines[1], lines[2][:-1]]))[0].damage == []
    for wrong in ([lines[0], lines[2]], [lines[1], lines[2]], [lines[0], lines[0], lines[1]]):
        (damage,) = replay(b"".join(wrong))[0].damage[:1]
        assert "follows line" in damage


def test_lines_that_name_every_field_are_read() -> None:
    """Journals on disk may hold flags as 0 and 1, and empty fields that are left out today."""
    verdict = ["6b9f1d5e-4a8e-5c0f-9a53-0d1f3f6a7c12", "expert", 1, 1, 3, 0.25, 9.0]
    fields = {"f": str(new_frame_id()), "g": ["a", "lot", "demo", 5, 1000], "at": 1.5, "w": 1.0}
    rows = [
        {"t": "run", "b": 7, "s": 40, "new": 1},
        {"t": "minted", "k": [7, 41], **fields, "m": 0},
        {"t": "writing", "k": [7, 41], "r": 9, "v": verdict, "at": 2.0},
        {"t": "part", "k": [7, 40], **fields, "m": 1, "c": 0, "p": 0, "v": None, "d": "", "r": 0}
        | {"oa": None, "wa": None, "a": "", "z": 1},
    ]
    bodies = [json.dumps(row).encode() for row in rows]
    known, _, _ = replay(b"".join(b"%08x %s\n" % (zlib.crc32(body), body) for body in bodies))
    assert (known.damage, known.plc_boot_id, known.last_trigger_seq) == ([], 7, 41)
    assert known.result_seq == 9
    new, old = known.entries[PartKey(7, 41)], known.entries[PartKey(7, 40)]
    assert (old.missed, old.closed, old.verdict) == (True, True, None)
    assert (new.trigger.part_id, new.result_seq, new.ordered_at) == ("a", 9, 2.0)
    assert new.verdict is not None
    assert new.verdict.code is ResultCode.PASS
    assert new.verdict.source is DecisionSource.EXPERT


@pytest.mark.asyncio
async def test_the_file_stays_bounded_and_open_parts_survive(tmp_path: Path) -> None:
    path = tmp_path / "line.journal"
    journal = Journal(path, limit_bytes=20_000, keep_closed=10)
    journal.open()
    stays = entry_of(1)
    mint(journal, stays)
    for n in range(2, 400):
        entry = entry_of(n)
        mint(journal, entry)
        finish(journal, entry, n)
        await journal.commit()
        assert path.stat().st_size < 25_000
    await journal.close()
    known, _, _ = replay(path.read_bytes())
    assert known.entries[stays.key] == stays.model_copy(update={"t": "part"})
    assert known.last_trigger_seq == 399
    assert 10 <= len(known.entries) < 100


@pytest.mark.asyncio
async def test_commits_share_a_sync_and_all_return(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    for n in range(1, 30):
        mint(journal, entry_of(n))
    await asyncio.gather(*(journal.commit() for _ in range(20)))
    assert len(replay(journal.path.read_bytes())[0].entries) == 29
    await journal.close()


@pytest.mark.asyncio
async def test_what_nobody_waits_for_costs_no_sync_of_its_own_and_is_soon_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    writes: list[bytes] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    write = journal._write

    def counted(data: bytes) -> None:
        writes.append(data)
        loop.call_soon_threadsafe(begun.set)
        write(data)

    monkeypatch.setattr(journal, "_write", counted)
    for seq in (1, 2, 3):
        mint(journal, entry_of(seq))
        committed = asyncio.create_task(journal.commit())
        await begun.wait()
        begun.clear()
        finish(journal, entry_of(seq), seq)  # while the disk is at work
        await committed
    assert len(writes) == 3
    await asyncio.wait_for(begun.wait(), 5.0)
    assert len(writes) == 4
    assert b'"closed"' in writes[3]
    await journal.close()


@pytest.mark.asyncio
async def test_a_slow_disk_makes_no_line_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.gateway.journal._FLUSH_S", 0.02)
    journal = Journal(tmp_path / "line.journal")
    journal.open()
    writes: list[bytes] = []
    second = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(data: bytes) -> None:
        writes.append(data)
        if len(writes) == 1:
            time.sleep(0.2)  # the moment of what is appended below passes meanwhile
        else:
            loop.call_soon_threadsafe(second.set)

    monkeypatch.setattr(journal, "_write", slow)
    mint(journal, entry_of(1))
    committed = asyncio.create_task(journal.commit())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    journal.append(StepLine(t="captured", k=entry_of(1).key))
    await committed
    await asyncio.wait_for(second.wait(), 5.0)
    assert b'"captured"' not in writes[0]
    assert b'"captured"' in writes[1]
    await journal.close()


@pytest.mark.asyncio
async def test_two_gateways_cannot_share_a_journal(tmp_path: Path) -> None:
    first = Journal(tmp_path / "line.journal")
    first.open()
    with pytest.raises(JournalBusyError, match="another gateway"):
        Journal(tmp_path / "line.journal").open()
    await first.close()


def test_a_clock_that_was_set_back_gives_no_part_more_than_its_window() -> None:
    """One boot of the host: the monotonic clock goes on. Another boot: at most T from here."""
    lines = Journal(Path("unused"))
    entry = entry_of(1).model_copy(update={"clock": ("boot-a", 500.0)})  # at 1001, T = 1 s
    mint(lines, entry)
    lines.append(StepLine(t="writing", k=entry.key, r=1, v=verdict_for(entry.frame_id), at=1001.5))
    for wall in (1001.2, 1001.2 - 3600, 1001.2 + 3600):
        for host, deadline in (("boot-a", 501.0), ("boot-b", 501.2 + 1.0), ("", 501.2 + 1.0)):
            state = recover(HandshakeConfig(), lines._known, now=501.2, wall=wall, host=host)
            (part,) = state.parts.values()
            assert part.deadline <= deadline + 1e-9
            assert part.ordered_at is not None
            assert part.ordered_at <= 501.2
            if host == "boot-a":
                assert part.deadline == pytest.approx(501.0)


def test_recovery_gives_each_part_its_phase() -> None:
    lines = Journal(Path("unused"))
    kinds = {n: entry_of(n) for n in range(1, 6)}
    for entry in kinds.values():
        mint(lines, entry)
    lines.append(StepLine(t="captured", k=kinds[2].key))
    verdict = verdict_for(kinds[3].frame_id)
    lines.append(StepLine(t="decided", k=kinds[3].key, v=verdict, d="{}"))
    lines.append(StepLine(t="writing", k=kinds[4].key, r=8, v=verdict))
    finish(lines, kinds[5], 9)
    state = recover(HandshakeConfig(), lines._known, now=50.0, wall=1003.0)
    parts = {key.trigger_seq: part for key, part in state.parts.items()}
    assert [p.phase for p in parts.values()] == [
        Phase.OPEN,
        Phase.OPEN,
        Phase.QUEUED,
        Phase.WRITING,
    ]
    assert [p.asked for p in parts.values()] == [True, False, True, True]
    assert parts[2].deadline == pytest.approx(50.0)
    assert [k.trigger_seq for k in state.queue] == [4, 3]
    assert list(state.closed) == [kinds[5].key]
    assert state.last_trigger_seq == 5


def test_every_event_of_a_part_states_one_moment_of_capture() -> None:
    journal = Journal(Path("unused"))
    pictured, slow = entry_of(1), entry_of(2)
    for entry in (pictured, slow):
        mint(journal, entry)
        assert journal.entries[entry.key].part_captured_at == entry.triggered_at
    decided = StepLine(t="decided", k=slow.key, v=verdict_for(slow.frame_id), d="{}")
    journal.append(decided)
    for entry in (pictured, slow):
        journal.append(StepLine(t="captured", k=entry.key, at=2000.0))
    known, _, _ = replay(framed(snapshot_lines(journal._known), 0))
    assert known.entries[pictured.key].part_captured_at == 2000.0
    assert known.entries[slow.key].part_captured_at == slow.triggered_at
