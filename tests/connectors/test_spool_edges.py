"""The spool at its edges: the last byte of the limit, what a failure leaves, what is old."""

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.errors import SpoolFullError
from connectors.gateway import spool as spool_module
from connectors.gateway.historical import historical
from connectors.gateway.lanes import Lane, lane_of
from connectors.gateway.spool import Budget, Spool
from connectors.gateway.spool_files import encode
from streams.envelope import Message, header_dict, to_message
from streams.topics import ACKS, DECISIONS, FRAMES, INLINE_LIMIT_BYTES, SHOTS
from tests.connectors.line import decision_for, frame_on

NOW = datetime.now(UTC)


def message(size: int) -> Message:
    return Message(b"line1/station1", b"." * size, ())


def weight(size: int, topic: str = FRAMES.name) -> int:
    """Bytes of the file of a message."""
    return len(encode(topic, message(size)))


def names(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern))


def opened(folder: Path, limit: int) -> Spool:
    spool = Spool(folder, limit)
    spool.open()
    return spool


@pytest.mark.asyncio
async def test_a_frame_may_fill_the_limit_to_its_last_byte(tmp_path: Path) -> None:
    fits = opened(tmp_path / "fits", weight(100))
    await fits.put(FRAMES.name, message(100))
    assert len(fits) == 1
    with pytest.raises(SpoolFullError, match="bring the broker back"):
        await opened(tmp_path / "over", weight(100) - 1).put(FRAMES.name, message(100))


@pytest.mark.asyncio
async def test_words_have_a_tenth_more_than_frames(tmp_path: Path) -> None:
    size = weight(1000, ACKS.name)
    spool = opened(tmp_path, round(size / 1.09))
    await spool.put(ACKS.name, message(1000))
    with pytest.raises(SpoolFullError):
        await opened(tmp_path / "b", round(size / 1.12)).put(ACKS.name, message(1000))
    with pytest.raises(SpoolFullError):
        await opened(tmp_path / "c", round(size / 1.09)).put(FRAMES.name, message(1000))


@pytest.mark.asyncio
async def test_a_spool_is_full_above_nine_tenths_of_its_limit(tmp_path: Path) -> None:
    size = weight(900)
    at = opened(tmp_path / "at", round(size / 0.9))
    assert not at.full
    await at.put(FRAMES.name, message(900))
    assert at.full is (size > 0.9 * round(size / 0.9))
    above = opened(tmp_path / "above", round(size / 0.95))
    await above.put(FRAMES.name, message(900))
    assert above.full
    below = opened(tmp_path / "below", round(size / 0.8))
    await below.put(FRAMES.name, message(900))
    assert not below.full


@pytest.mark.asyncio
async def test_a_disk_that_refused_a_message_gives_its_room_back_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = spool_module.write_file
    spool = opened(tmp_path, 1 << 20)
    assert (spool.failing, spool.full) == (False, False)

    def refused(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool_module, "write_file", refused)
    with pytest.raises(SpoolFullError, match="No space left"):
        await spool.put(FRAMES.name, message(100))
    assert (spool.failing, spool.full, len(spool), spool.size_bytes) == (True, True, 0, 0)
    await spool.probe()
    assert spool.failing
    monkeypatch.setattr(spool_module, "write_file", write)
    await spool.probe()
    assert not spool.failing
    assert names(tmp_path) == [], "the probe leaves nothing"
    monkeypatch.setattr(spool_module, "write_file", refused)
    with pytest.raises(SpoolFullError):
        await spool.put(FRAMES.name, message(100))
    monkeypatch.setattr(spool_module, "write_file", write)
    await spool.put(FRAMES.name, message(100))
    assert not spool.failing, "a message that is taken proves it too"


@pytest.mark.asyncio
async def test_the_oldest_that_is_not_under_way_is_taken_and_numbers_go_on(tmp_path: Path) -> None:
    spool = opened(tmp_path, 1 << 20)
    for n in range(3):
        await spool.put(FRAMES.name, Message(b"k", str(n).encode(), ()), is_taken=n == 0)
    first = await spool.take()
    assert first is not None
    assert first[2].value == b"1", "the first is on its way already"
    second = await spool.take()
    assert second is not None
    assert second[2].value == b"2"
    assert await spool.take() is None
    await spool.drop(first[0])
    assert len(spool) == 2
    assert spool.size_bytes == sum(p.stat().st_size for p in names(tmp_path, "*.msg"))
    again = opened(tmp_path, 1 << 20)
    assert len(again) == 2
    kept = await again.put(FRAMES.name, message(1))
    assert kept.path.stem == f"{3:020d}"


@pytest.mark.asyncio
async def test_those_that_failed_come_last(tmp_path: Path) -> None:
    spool = opened(tmp_path, 1 << 20)
    files = [await spool.put(FRAMES.name, Message(b"k", str(n).encode(), ())) for n in range(2)]
    found = await spool.take(later=[files[0]])
    assert found is not None
    assert found[0] is files[1]
    last = await spool.take(later=[files[0]])
    assert last is not None
    assert last[0] is files[0]


@pytest.mark.asyncio
async def test_what_is_no_file_of_the_spool_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "abc.msg").write_bytes(b"x")
    (tmp_path / "00000000000000000007.msg").mkdir()
    (tmp_path / "00000000000000000009.tmp").write_bytes(b"half")
    spool = opened(tmp_path, 1 << 20)
    assert len(spool) == 0
    assert not names(tmp_path, "*.tmp")
    assert [p.suffix for p in names(tmp_path)] == [".bad", ".bad"]
    file = await spool.put(FRAMES.name, message(1))
    spool.set_aside(file, "why")
    assert (len(spool), file.path.with_suffix(".bad").exists()) == (0, True)
    await spool.drop(await spool.put(FRAMES.name, message(1)))


# --- What is old --------------------------------------------------------------------------------


@pytest.mark.parametrize(("ago_s", "is_old"), [(-1, False), (0, False), (1, True)])
def test_a_frame_is_historical_after_its_deadline(ago_s: int, is_old: bool) -> None:
    frame = frame_on("line1", deadline=NOW - timedelta(seconds=ago_s))
    marked = historical(FRAMES.name, to_message(frame, b"abc"), NOW)
    assert (header_dict(marked.headers).get("ce_is_historical") == "true") is is_old


@pytest.mark.parametrize("topic", [DECISIONS.name, ACKS.name])
@pytest.mark.parametrize(("ago_s", "is_old"), [(-1, False), (0, False), (1, True)])
def test_words_are_historical_after_their_deadline(topic: str, ago_s: int, is_old: bool) -> None:
    decision = decision_for(frame_on("line1", deadline=NOW - timedelta(seconds=ago_s)))
    whole = to_message(decision)
    marked = historical(topic, whole, NOW)
    assert (b'"is_historical": true' in marked.value) is is_old
    assert (marked == whole) is not is_old
    assert historical(SHOTS.name, whole, NOW) == whole


def test_a_picture_travels_by_reference_above_the_limit() -> None:
    assert lane_of(FRAMES.name, message(INLINE_LIMIT_BYTES)) is Lane.PICTURES
    assert lane_of(FRAMES.name, message(INLINE_LIMIT_BYTES + 1)) is Lane.LARGE
    assert lane_of(ACKS.name, message(INLINE_LIMIT_BYTES + 1)) is Lane.WORDS


@pytest.mark.asyncio
async def test_spools_that_share_a_budget_give_its_room_back(tmp_path: Path) -> None:
    budget = Budget(1 << 20)
    first, second = Spool(tmp_path / "a" / "first", budget), Spool(tmp_path / "second", budget)
    first.open()
    second.open()
    files = [await spool.put(FRAMES.name, message(100)) for spool in (first, second)]
    assert budget.used == first.size_bytes + second.size_bytes
    await first.drop(files[0])
    assert budget.used == second.size_bytes
    second.set_aside(files[1], "why")
    assert budget.used == 0
    budget.limit, budget.used = 10, 9
    assert not first.full, "nine tenths are not above nine tenths"
    budget.used = 10
    assert first.full


@pytest.mark.asyncio
async def test_a_message_is_not_taken_while_it_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, idle = opened(tmp_path, 1 << 20), []
    write = spool_module.write_file

    def watched(path: Path, data: bytes) -> None:
        idle.append(spool._oldest(()))
        write(path, data)

    monkeypatch.setattr(spool_module, "write_file", watched)
    await spool.put(FRAMES.name, message(1))
    assert idle == [None]
    assert await spool.take() is not None


@pytest.mark.asyncio
async def test_a_file_that_somebody_removed_is_removed(tmp_path: Path) -> None:
    spool = opened(tmp_path, 1 << 20)
    file = await spool.put(FRAMES.name, message(1))
    names(tmp_path, "*.msg")[0].unlink()
    with capture_logs() as logs:
        await spool.drop(file)
    assert not logs
    assert len(spool) == 0
