"""The spool: bounded in bytes, in order, durable, marked as history."""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.errors import SpoolFullError
from connectors.gateway import spool as spool_module
from connectors.gateway.lanes import ReferencingPublisher
from connectors.gateway.spool import Spool
from connectors.gateway.spool_files import decode, encode
from connectors.gateway.spooling_publisher import SpoolingPublisher
from streams.envelope import Message, from_message, to_message
from streams.events import Frame
from streams.ids import frame_key
from streams.topics import ACKS, FRAMES, INLINE_LIMIT_BYTES
from tests.connectors.line import MemoryBus, frame_on
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.waiting import until


def message(text: str, size: int = 0) -> Message:
    return Message(b"line1/station1", text.encode().ljust(size, b"."), (("x", b"\xff\x00"),))


def frame(deadline: datetime, **changes: object) -> Frame:
    return frame_on("line1", deadline=deadline, **changes)


def opened(folder: Path, limit: int = 1 << 20) -> Spool:
    spool = Spool(folder, limit)
    spool.open()
    return spool


def damage(folder: Path, data: bytes) -> None:
    min(folder.glob("*.msg")).write_bytes(data)


def test_a_message_survives_its_file() -> None:
    original = message("a\nb")
    assert decode(encode("topic", original)) == ("topic", original)
    with pytest.raises(ValueError, match="checksum"):
        decode(encode("topic", original)[:-1])


def test_a_file_of_an_earlier_version_is_read() -> None:
    """They have no checksum."""
    original = message("a\nb")
    old = encode("topic", original).partition(b" ")[2]
    assert decode(old) == ("topic", original)
    with pytest.raises(ValueError, match="bytes where"):
        decode(old[:-1])


@pytest.mark.asyncio
async def test_order_and_size_survive_a_restart(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for n in range(12):
        await spool.put("t", message(str(n)))
    again = opened(tmp_path)
    assert (len(again), again.size_bytes) == (12, spool.size_bytes)
    await again.put("t", message("12"))
    for n in range(13):
        found = await again.take()
        assert found is not None
        assert found[2].value == str(n).encode()
        await again.drop(found[0])
    assert again.size_bytes == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.asyncio
async def test_frames_stop_at_the_limit_and_decisions_a_little_later(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=1000)
    await spool.put(FRAMES.name, message("f", 700))
    with pytest.raises(SpoolFullError, match="spool_limit_mib"):
        await spool.put(FRAMES.name, message("f", 180))
    await spool.put(ACKS.name, message("a", 100))
    assert spool.full
    with pytest.raises(SpoolFullError):
        await spool.put(ACKS.name, message("a", 200))


@pytest.mark.asyncio
async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    await spool.put("t", message("lost"))
    await spool.put("t", message("kept"))
    damage(tmp_path, b"{")
    again = opened(tmp_path)
    found = await again.take()
    assert found is not None
    assert found[2].value == b"kept"
    assert sum(name.endswith(".bad") for name in os.listdir(tmp_path)) == 1


@pytest.mark.asyncio
async def test_any_byte_flipped_and_any_cut_is_found_and_the_rest_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damaged message is kept as ``.bad``; it is sent as it was or not at all."""
    monkeypatch.setattr(spool_module, "_BAD_FILES", 100_000)
    monkeypatch.setattr(spool_module, "_BAD_SHARE", 100.0)
    spool = opened(tmp_path / "first")
    await spool.put(FRAMES.name, to_message(frame(datetime.now(UTC)), b"picture"))
    (path,) = (tmp_path / "first").glob("*.msg")
    data = path.read_bytes()
    damaged = [data[:n] + bytes([data[n] ^ 0x11]) + data[n + 1 :] for n in range(len(data))]
    damaged += [data[:n] for n in range(len(data))] + [b"", b"\xff" * 9, b"[]", b"{}", b"null\n"]
    folder = tmp_path / "second"
    folder.mkdir()
    for number, wrong in enumerate(damaged):
        (folder / f"{number:020d}.msg").write_bytes(wrong)
    (folder / "notes.msg").write_text("not ours")
    (folder / f"{len(damaged):020d}.msg").write_bytes(data)
    again = opened(folder, 1 << 24)
    bus = MemoryBus()
    sender = SpoolingPublisher(bus, again, timeout_s=1, in_flight_bytes=1 << 20)
    running = asyncio.create_task(sender.run())
    await until(lambda: len(again) == 0 and len(bus.sent) == 1)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert bus.frames[0].part_id == "part-1"
    assert len(list(folder.glob("*.bad"))) == len(damaged) + 1
    assert again.size_bytes == 0


@pytest.mark.asyncio
async def test_a_message_that_the_publisher_cannot_send_is_set_aside(tmp_path: Path) -> None:
    class Refusing:
        async def send(self, topic: str, message: Message) -> None:
            if topic == "refused":
                raise ValueError("no such header")
            sent.append(topic)

    sent: list[str] = []
    spool = opened(tmp_path)
    for topic in ("refused", "t"):
        await spool.put(topic, message("x"))
    sender = SpoolingPublisher(Refusing(), spool, timeout_s=1, in_flight_bytes=1 << 20)
    running = asyncio.create_task(sender.run())
    await until(lambda: sent == ["t"])
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert sum(name.endswith(".bad") for name in os.listdir(tmp_path)) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [28, 5, 30])
async def test_a_failing_disk_is_asked_again_and_a_broker_that_is_back_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr("connectors.gateway.spooling_publisher._PROBE_S", 0.01)
    works = [True]
    write = spool_module.write_file

    def asked(path: Path, data: bytes) -> None:
        if not works:
            raise OSError(error, os.strerror(error))
        write(path, data)

    monkeypatch.setattr(spool_module, "write_file", asked)
    bus, full = MemoryBus(), []
    sender = SpoolingPublisher(
        bus, opened(tmp_path), timeout_s=1, in_flight_bytes=1 << 20, on_full=full.append
    )
    running = asyncio.create_task(sender.run())
    event = to_message(frame(datetime.now(UTC)), b"img")
    works.clear()
    bus.lose()
    with pytest.raises(SpoolFullError):
        await sender.send(FRAMES.name, event)
    assert full == [True]
    bus.regain()
    await sender.send(FRAMES.name, event)  # the disk still fails
    assert len(bus.sent) == 1
    works.append(True)
    await until(lambda: full == [True, False])
    bus.lose()
    await sender.send(FRAMES.name, event)
    assert len(sender.spool) == 1
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.asyncio
async def test_down_then_up_everything_arrives_once_and_in_order(tmp_path: Path) -> None:
    bus, states = MemoryBus(), []
    sender = SpoolingPublisher(
        bus, opened(tmp_path), timeout_s=1, in_flight_bytes=1 << 20, on_down=states.append
    )
    running = asyncio.create_task(sender.run())
    bus.lose()
    late = frame(datetime.now(UTC) - timedelta(seconds=1))
    open_ = frame(datetime.now(UTC) + timedelta(hours=1))
    for event in (late, open_):
        await sender.send(FRAMES.name, to_message(event, b"img"))
    assert bus.sent == []
    bus.regain()
    await until(lambda: len(bus.sent) == 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    got = [from_message(Frame, m.value, m.headers) for _, m in bus.sent]
    assert [f.frame_id for f in got] == [late.frame_id, open_.frame_id]
    assert [(f.model_extra or {}).get("is_historical") for f in got] == ["true", None]
    assert states[0] is True
    assert states[-1] is False


@pytest.mark.asyncio
async def test_more_than_the_in_flight_bound_goes_to_disk(tmp_path: Path) -> None:
    class Slow:
        async def send(self, topic: str, message: Message) -> None:
            await asyncio.sleep(0.2)

    spool = opened(tmp_path)
    sender = SpoolingPublisher(Slow(), spool, timeout_s=1, in_flight_bytes=1000)
    await asyncio.gather(*(sender.send("t", message(str(n), 400)) for n in range(4)))
    assert len(spool) == 2


@pytest.mark.asyncio
async def test_large_frames_go_to_object_storage_and_are_named() -> None:
    bus, store = MemoryBus(), InMemoryImageStore()
    sender = ReferencingPublisher(bus, store, timeout_s=5)
    body = b"x" * (INLINE_LIMIT_BYTES + 1)
    event = frame(datetime.now(UTC), size_bytes=len(body))
    event = event.model_copy(update={"dataref": frame_key(event.frame_id)})
    await sender.send(FRAMES.name, to_message(event, body))
    await sender.send(FRAMES.name, to_message(frame(datetime.now(UTC)), b"small"))
    assert [m.value for _, m in bus.sent] == [b"", b"small"]
    assert await store.get(frame_key(event.frame_id)) == body
    assert from_message(Frame, b"", bus.sent[0][1].headers).dataref == frame_key(event.frame_id)


@pytest.mark.parametrize(
    ("files", "each", "kept"), [(1010, 1, 1000), (30, 100, 10), (1, 2000, 0)], ids=str
)
def test_of_what_was_set_aside_the_latest_is_kept_within_bounds(
    tmp_path: Path, files: int, each: int, kept: int
) -> None:
    """A tenth of the limit is 1,000 bytes here, and at most 1,000 files are kept."""
    for number in range(files):
        (tmp_path / f"{number:020d}.bad").write_bytes(b"x" * each)
    spool = Spool(tmp_path, 10_000)
    with capture_logs() as logs:
        spool.open()
        spool.open()
    left = sorted(int(path.stem) for path in tmp_path.glob("*.bad"))
    assert left == list(range(files - kept, files))
    assert [entry["event"] for entry in logs] == ["spool.bad_files_removed"]


@pytest.mark.asyncio
async def test_a_file_that_is_set_aside_counts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000)
    spool.open()
    for number in range(4):
        file = await spool.put(FRAMES.name, Message(b"k", bytes(400), ()))
        spool.set_aside(file, f"test {number}")
    assert sum(name.endswith(".bad") for name in os.listdir(tmp_path)) == 2
    assert spool.size_bytes == 0
