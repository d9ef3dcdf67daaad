"""What a process says of itself is bounded, and never waits or is waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streams.codes import FaultCode
from streams.envelope import Message
from streams.status import ProcessStatus
from streams.status_teller import StatusTeller
from streams.topics import STATUS
from tests.contracts.twins.publisher import TwinPublisher
from tests.streams.statuses import fault, gateway_said
from tests.waiting import until

pytestmark = pytest.mark.asyncio
NEVER_S = 3600.0
QUICK_S = 0.001


class Process:
    """How a gateway is, as a test says; counts how often it is looked at."""

    def __init__(self) -> None:
        self.status = gateway_said()
        self.looks = 0
        self.error: Exception | None = None

    def look(self) -> ProcessStatus:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.status


@asynccontextmanager
async def telling(
    process: Process, publisher: TwinPublisher, every_s: float = NEVER_S
) -> AsyncIterator[None]:
    task = asyncio.create_task(StatusTeller(publisher, process.look, every_s, QUICK_S).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def said(publisher: TwinPublisher) -> list[ProcessStatus]:
    return [event for event, _ in publisher.of(STATUS.name) if isinstance(event, ProcessStatus)]


async def test_what_stays_is_said_once_and_what_changes_at_once() -> None:
    process, kafka = Process(), TwinPublisher()
    async with telling(process, kafka):
        await until(lambda: process.looks > 20)
        assert [one.number for one in said(kafka)] == [1]
        process.status = gateway_said(faults=(fault(),), fault_code=FaultCode.CAMERA)
        await until(lambda: len(said(kafka)) == 2)
        seen = process.looks
        await until(lambda: process.looks > seen + 20)
        assert len(said(kafka)) == 2


async def test_a_heartbeat_comes_though_nothing_changes() -> None:
    process, kafka = Process(), TwinPublisher()
    async with telling(process, kafka, every_s=0.01):
        await until(lambda: len(said(kafka)) >= 3)
    assert all(one.every_s == 0.01 for one in said(kafka))


async def test_what_the_broker_does_not_take_is_dropped() -> None:
    process, kafka = Process(), TwinPublisher(down=True)
    async with telling(process, kafka):
        await until(lambda: process.looks > 20)
        kafka.down = False
        seen = process.looks
        await until(lambda: process.looks > seen + 20)
        assert said(kafka) == [], "nothing was kept for later"
        process.status = gateway_said(open_parts=3)
        await until(lambda: len(said(kafka)) == 1)


async def test_while_one_is_on_its_way_no_other_is_made() -> None:
    process, gate = Process(), asyncio.Event()

    class Slow(TwinPublisher):
        async def send(self, topic: str, message: Message) -> None:
            await gate.wait()
            await super().send(topic, message)

    kafka = Slow()
    async with telling(process, kafka):
        await until(lambda: process.looks == 1)
        for parts in range(50):
            process.status = gateway_said(open_parts=parts)
            await asyncio.sleep(0)
        assert process.looks == 1
        gate.set()
        await until(lambda: len(said(kafka)) == 2)
        last = said(kafka)[-1].gateway
        assert last is not None
        assert last.open_parts == 49, "the newest state, none of those between"


async def test_a_look_that_fails_ends_nothing() -> None:
    process, kafka = Process(), TwinPublisher()
    process.error = RuntimeError("a mistake of ours")
    async with telling(process, kafka):
        await until(lambda: process.looks > 3)
        process.error = None
        await until(lambda: len(said(kafka)) == 1)


async def test_its_end_is_the_last_word() -> None:
    process, kafka = Process(), TwinPublisher()
    async with telling(process, kafka):
        await until(lambda: len(said(kafka)) == 1)
    assert [one.is_ended for one in said(kafka)] == [False, True]
