"""Lanes: what is refused, slow or stuck costs nothing but itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.gateway import spooling_publisher
from connectors.gateway.lanes import Lane, LanedPublisher, ReferencingPublisher
from connectors.gateway.spool import Budget, Spool
from connectors.gateway.spooling_publisher import SpoolingPublisher
from streams.envelope import Message, to_message
from streams.errors import UnavailableError
from streams.events import DeadLetter
from streams.failures import Cause
from streams.ids import frame_key
from streams.ports import Publisher
from streams.topics import ACKS, DEAD, FRAMES, INLINE_LIMIT_BYTES, SHOTS
from tests.connectors.line import MemoryBus, frame_on
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.waiting import until


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling_publisher, "backoff_s", lambda *_, **__: 0.001)


def message(text: str) -> Message:
    return Message(b"line1/station1", text.encode(), (("ce_id", text.encode()),))


def picture(size: int) -> Message:
    event = frame_on("line1", deadline=datetime.now(UTC) + timedelta(hours=1), size_bytes=size)
    event = event.model_copy(update={"dataref": frame_key(event.frame_id)})
    return to_message(event, bytes(size))


def spooled(folder: Path, budget: int | Budget = 1 << 26) -> Spool:
    spool = Spool(folder, budget)
    spool.open()
    return spool


def sender(publisher: Publisher, folder: Path, **changes: float) -> SpoolingPublisher:
    options: dict[str, float] = {"timeout_s": 1.0, "in_flight_bytes": 1 << 25} | changes
    return SpoolingPublisher(publisher, spooled(folder), **options)  # type: ignore[arg-type]


@asynccontextmanager
async def running(publisher: SpoolingPublisher | LanedPublisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def files(folder: Path, ending: str = "") -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(ending)]


def letters(bus: MemoryBus) -> list[tuple[str, str]]:
    found = [letter for letter, _ in bus.of(DEAD.name)]
    return [(x.topic, x.error_type) for x in found if isinstance(x, DeadLetter)]


class Gate(MemoryBus):
    """Takes each message when it is let through, and counts how often each was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.attempts: list[bytes] = []

    async def send(self, topic: str, message: Message) -> None:
        self.attempts.append(message.value)
        await self.go.wait()
        await super().send(topic, message)


@pytest.mark.asyncio
@pytest.mark.parametrize("spooled_first", [False, True])
async def test_a_refused_message_is_a_dead_letter_and_fifty_behind_it_arrive(
    tmp_path: Path, spooled_first: bool
) -> None:
    bus = MemoryBus()
    bus.refuses[ACKS.name] = Cause.NOT_ALLOWED
    publisher = sender(bus, tmp_path)
    if spooled_first:
        bus.lose()
    async with running(publisher):
        await publisher.send(ACKS.name, message("refused"))
        for number in range(50):
            await publisher.send(SHOTS.name, message(f"{number}"))
        bus.regain()
        await until(lambda: len(bus.sent) == 51 and not len(publisher.spool))
    assert letters(bus) == [(ACKS.name, "NOT_ALLOWED")]
    assert sorted(int(m.value) for t, m in bus.sent if t == SHOTS.name) == list(range(50))
    assert files(tmp_path, ".bad") == []


@pytest.mark.asyncio
async def test_what_may_not_even_be_a_dead_letter_is_kept_on_disk(tmp_path: Path) -> None:
    bus = MemoryBus()
    bus.refuses = {ACKS.name: Cause.NOT_ALLOWED, DEAD.name: Cause.NOT_ALLOWED}
    publisher = sender(bus, tmp_path)
    async with running(publisher):
        await publisher.send(ACKS.name, message("refused"))
        async with asyncio.timeout(20):
            while not files(tmp_path, ".bad"):
                await publisher.send(SHOTS.name, message("good"))
                await asyncio.sleep(0.002)
        await until(lambda: not len(publisher.spool))
    assert len(files(tmp_path, ".bad")) == 1
    assert len(publisher.spool) == publisher.spool.size_bytes == 0


@pytest.mark.asyncio
async def test_a_gateway_whose_rights_are_withdrawn_keeps_everything(tmp_path: Path) -> None:
    """Of files that are set aside the latest thousand are kept."""
    bus = MemoryBus()
    bus.refuses = dict.fromkeys((ACKS.name, SHOTS.name, DEAD.name), Cause.NOT_ALLOWED)
    publisher, told = sender(bus, tmp_path), list[bool]()
    publisher.on_down = told.append
    async with running(publisher):
        for number in range(30):
            await publisher.send((ACKS, SHOTS)[number % 2].name, message(f"{number}"))
        await until(lambda: any(file.tries for file in publisher.spool._files.values()))
        assert (files(tmp_path, ".bad"), bus.sent, told) == ([], [], [True])
        bus.refuses = {}
        await until(lambda: len(bus.sent) == 30 and not len(publisher.spool))
    assert sorted(int(m.value) for _, m in bus.sent) == list(range(30))
    assert (letters(bus), files(tmp_path, ".bad"), told) == ([], [], [True, False])


@pytest.mark.asyncio
async def test_a_message_that_alone_fails_is_set_aside_and_the_rest_flows(tmp_path: Path) -> None:
    """As a partition without a leader, or an object that one broken disk cannot take."""

    class Poisoned(MemoryBus):
        async def send(self, topic: str, message: Message) -> None:
            if message.value == b"poison" and topic != DEAD.name:
                raise UnavailableError("again and again")
            await super().send(topic, message)

    bus = Poisoned()
    publisher = sender(bus, tmp_path)
    async with running(publisher):
        await publisher.send("t", message("poison"))
        async with asyncio.timeout(20):
            while not letters(bus):
                await publisher.send(SHOTS.name, message("good"))
                await asyncio.sleep(0.002)
        await until(lambda: not len(publisher.spool))
    assert letters(bus) == [("t", "AWAY")]


@pytest.mark.asyncio
async def test_a_slow_message_is_kept_on_disk_and_sent_once(tmp_path: Path) -> None:
    bus = Gate()
    publisher = sender(bus, tmp_path, timeout_s=0.01)
    publisher.tells_when_slow = False
    async with running(publisher):
        await publisher.send(FRAMES.name, picture(1000))
        assert len(files(tmp_path, ".msg")) == 1, "durable, while it is under way"
        bus.go.set()
        await until(lambda: not len(publisher.spool))
    assert len(bus.attempts) == len(bus.sent) == 1
    assert files(tmp_path) == []


@pytest.mark.asyncio
async def test_a_slow_message_that_fails_is_sent_again_from_disk(tmp_path: Path) -> None:
    bus = Gate()
    bus.down_for = 1
    publisher = sender(bus, tmp_path, timeout_s=0.01)
    async with running(publisher):
        await publisher.send("t", message("x"))
        bus.go.set()
        await until(lambda: len(bus.sent) == 1 and not len(publisher.spool))
    assert bus.attempts == [b"x", b"x"]


@pytest.mark.asyncio
async def test_no_answer_says_that_the_broker_is_lost_unless_the_link_is_known_to_be_slow(
    tmp_path: Path,
) -> None:
    bus, told = Gate(), []
    publisher = sender(bus, tmp_path, timeout_s=0.05)
    publisher.on_down = told.append
    async with running(publisher):
        await publisher.send("t", message("a"))
        assert told == [True]
        bus.go.set()
        await until(lambda: told == [True, False])
        publisher._usual_s = 10.0
        bus.go.clear()
        await publisher.send("t", message("b"))
        assert told == [True, False]
        bus.go.set()
        await until(lambda: not len(publisher.spool))


def laned(tmp_path: Path, by_lane: dict[Lane, Publisher]) -> LanedPublisher:
    return LanedPublisher({k: sender(p, tmp_path / k, timeout_s=0.05) for k, p in by_lane.items()})


@pytest.mark.asyncio
@pytest.mark.parametrize("cause", [Cause.AWAY, Cause.NOT_ALLOWED, Cause.FULL])
async def test_a_large_frame_that_the_store_does_not_take_holds_nothing_back(
    tmp_path: Path, cause: Cause
) -> None:
    bus, store = MemoryBus(), InMemoryImageStore()
    large = picture(INLINE_LIMIT_BYTES + 1)
    key = dict(large.headers)["ce_dataref"].decode()
    store.refuses[key] = cause
    by_lane: dict[Lane, Publisher] = {
        Lane.WORDS: bus,
        Lane.PICTURES: bus,
        Lane.LARGE: ReferencingPublisher(bus, store, timeout_s=5),
    }
    publisher = laned(tmp_path, by_lane)
    async with running(publisher):
        await publisher.send(FRAMES.name, large)
        for number in range(100):
            await publisher.send(SHOTS.name, message(str(number)))
            await publisher.send(FRAMES.name, picture(10))
        assert len(bus.sent) == 200
        store.refuses.clear()
        await until(lambda: len(bus.sent) == 201)
    assert len(store.objects) == 1


@pytest.mark.asyncio
async def test_decisions_pass_pictures_that_are_stuck(tmp_path: Path) -> None:
    words, pictures = MemoryBus(), Gate()
    publisher = laned(tmp_path, {Lane.WORDS: words, Lane.PICTURES: pictures})
    async with running(publisher):
        for _ in range(5):
            await publisher.send(FRAMES.name, picture(1000))
        for number in range(20):
            await publisher.send(SHOTS.name, message(str(number)))
        assert len(words.sent) == 20
        assert pictures.sent == []


@pytest.mark.asyncio
async def test_the_line_is_told_once_of_lanes_that_fail_together(tmp_path: Path) -> None:
    words, pictures = MemoryBus(), MemoryBus()
    publisher = laned(tmp_path, {Lane.WORDS: words, Lane.PICTURES: pictures})
    told: list[bool] = []
    publisher.on_down = told.append
    for bus in (words, pictures):
        bus.lose()
    async with running(publisher):
        await publisher.send(SHOTS.name, message("x"))
        await publisher.send(FRAMES.name, picture(10))
        assert told == [True]
        words.regain()
        await until(lambda: len(words.sent) == 1)
        assert told == [True]
        pictures.regain()
        await until(lambda: told == [True, False])


def test_lanes_keep_within_one_bound(tmp_path: Path) -> None:
    budget = Budget(2100)
    first, second = (spooled(tmp_path / name, budget) for name in "ab")

    async def fill() -> None:
        await first.put("t", message("x" * 400))
        assert not second.full
        file = await second.put("t", message("x" * 400))
        assert first.full
        assert second.full
        await second.drop(file)
        assert not first.full

    asyncio.run(fill())


@pytest.mark.asyncio
async def test_the_spool_reads_ahead_as_much_as_keeps_the_link_busy(tmp_path: Path) -> None:
    bus = Gate()
    publisher = sender(bus, tmp_path)
    publisher.wanted_bytes = lambda: 30.0
    for number in range(9):
        await publisher.spool.put("t", message(f"{number}".rjust(10)))
    publisher._stored.set()
    async with running(publisher):
        await until(lambda: len(bus.attempts) == 3)
        assert publisher._spooled_bytes == 30
        bus.go.set()
        await until(lambda: len(bus.sent) == 9 and not len(publisher.spool))
    assert publisher._spooled_bytes == 0
    assert publisher._room == publisher.in_flight_bytes


@pytest.mark.asyncio
async def test_a_backlog_leaves_room_for_what_is_new(tmp_path: Path) -> None:
    bus = Gate()
    publisher = sender(bus, tmp_path, in_flight_bytes=100)
    for number in range(12):
        await publisher.spool.put("t", message(f"{number}".rjust(10)))
    publisher._stored.set()
    async with running(publisher):
        await until(lambda: len(bus.attempts) == 8)
        new = asyncio.create_task(publisher.send("t", message("new")))
        await until(lambda: b"new" in bus.attempts)
        assert len(bus.attempts) == 9
        bus.go.set()
        await new
        await until(lambda: len(bus.sent) == 13)
