"""Two gateways at one controller: who is in charge, and when the other takes over."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from connectors.errors import GatewayBusyError, LinkError
from connectors.gateway.claims import Charge, Watch, beat_of, gateway_of, new_number
from connectors.gateway.ownership import OwnedLink
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.signals import Signal, SignalValue, SignalValues, number
from connectors.handshake.values import Connected, Notice
from connectors.line_link import LineLink, LinkEvent
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from tests.connectors.line import Line, at_once, decision_for, frame_on, running_line
from tests.contracts.twins.line_link import InMemoryLineLink
from tests.waiting import until

STANDBY = GatewaySettings(standby=True)
BEAT = Signal.VISION_HEARTBEAT


def watch(ours: int = 0, before: int = 0, prompt: bool = True) -> Watch:
    return Watch(ours, before, silent_s=1.75, own_silent_s=0.75, prompt=prompt)


def looks(of: Watch, *seen: tuple[float, int, bool]) -> list[Charge]:
    return [of.look(*look) for look in seen]


def test_a_controller_where_nobody_is_online_is_free_at_once_and_later_for_a_stand_by() -> None:
    quiet = (0.0, beat_of(3, 9), False), (1.74, beat_of(3, 9), False), (1.75, beat_of(3, 9), False)
    assert looks(watch(), *quiet)[0] is Charge.FREE
    assert looks(watch(prompt=False), *quiet) == [Charge.UNCLEAR, Charge.UNCLEAR, Charge.FREE]
    assert watch().look(0.0, 0, True) is Charge.FREE


def test_another_gateway_is_in_charge_while_its_beat_moves_and_dead_when_it_stands() -> None:
    for prompt in (True, False):
        seen = looks(
            watch(prompt=prompt),
            (0.0, beat_of(3, 9), True),
            (0.5, beat_of(3, 10), True),
            (2.24, beat_of(3, 10), True),
            (2.25, beat_of(3, 10), True),
        )
        assert seen == [Charge.UNCLEAR, Charge.TAKEN, Charge.UNCLEAR, Charge.FREE]


def test_our_own_number_is_ours_and_a_dead_process_of_ours_is_waited_for_less() -> None:
    assert watch(ours=3).look(0.0, beat_of(3, 9), True) is Charge.OURS
    assert watch(ours=3, prompt=False).look(0.0, 0, False) is Charge.FREE  # a cold start
    old = watch(before=3)
    assert looks(old, (0.0, beat_of(3, 9), True), (0.75, beat_of(3, 9), True))[-1] is Charge.FREE
    copied = watch(before=3)  # a copy of the journal of a gateway that is alive
    assert looks(copied, (0.0, beat_of(3, 9), True), (0.5, beat_of(3, 10), True))[-1] is (
        Charge.TAKEN
    )


def test_a_beat_keeps_its_gateway_when_its_count_wraps() -> None:
    beats = [beat_of(0xFFFF, count) for count in (0xFFFF, 0x10000)]
    assert [gateway_of(beat) for beat in beats] == [0xFFFF, 0xFFFF]
    assert beats[0] != beats[1]
    assert max(beats) < 1 << 32
    assert new_number(beats[0]) not in (0, 0xFFFF)


# --- the link -----------------------------------------------------------------------------


class Cables:
    """Several clients of one controller that is a dictionary."""

    def __init__(self) -> None:
        self.first = InMemoryLineLink()

    def another(self) -> InMemoryLineLink:
        link = InMemoryLineLink()
        link.values = self.first.values
        return link


@asynccontextmanager
async def running(link: LineLink) -> AsyncIterator[tuple[list[LinkEvent], asyncio.Task[None]]]:
    events: list[LinkEvent] = []
    task = asyncio.create_task(link.run(events.append))
    try:
        yield events, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, GatewayBusyError):
            await task


def owned(link: LineLink, folder: Path, name: str, standby: bool = False) -> OwnedLink:
    return OwnedLink(link, HandshakeConfig(), folder / name, standby)


@pytest.mark.asyncio
async def test_of_two_that_start_together_one_is_in_charge(tmp_path: Path) -> None:
    for attempt in range(5):
        cables = Cables()
        links = [owned(cables.another(), tmp_path, f"{attempt}{n}") for n in "ab"]
        async with running(links[0]), running(links[1]):
            await until(lambda of=links: any(link.in_charge for link in of), 5)
            assert [link.in_charge for link in links].count(True) == 1


@pytest.mark.asyncio
async def test_the_first_gives_way_before_it_writes_once_another_number_stands(
    tmp_path: Path,
) -> None:
    cable = InMemoryLineLink()
    link = owned(cable, tmp_path, "a", standby=True)
    link._memory.write_text("7")
    cable.values[Signal.VISION_HEARTBEAT] = beat_of(7, 5)
    async with running(link) as (events, _):
        await until(lambda: link.in_charge, 5)
        assert isinstance(events[0], Connected)
        await link.write({Signal.RESULT_SEQ: 1})
        cable.values[Signal.VISION_HEARTBEAT] = beat_of(gateway_of(_beat(cable)) ^ 1, 1)
        link._checked_at = -1.0  # what was read before is old
        with pytest.raises(LinkError, match="not in charge"):
            await link.write({Signal.RESULT_SEQ: 2})
        assert cable.values[Signal.RESULT_SEQ] == 1
        assert events[-1] is Notice.DISCONNECTED
        with pytest.raises(LinkError):
            await link.read([Signal.TRIGGER_SEQ])


@pytest.mark.asyncio
async def test_who_is_in_charge_is_read_with_what_is_read_anyway(tmp_path: Path) -> None:
    cable, asked = InMemoryLineLink(), list[tuple[Signal, ...]]()
    read = cable.read

    async def counted(signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        asked.append(tuple(signals))
        return await read(asked[-1])

    cable.read = counted  # type: ignore[method-assign]
    link = owned(cable, tmp_path, "a", standby=True)
    async with running(link) as (events, _):
        await until(lambda: link.in_charge, 5)
        link._checked_at = -1.0  # what was read before is old
        asked.clear()
        assert await link.read([Signal.TRIGGER_SEQ]) == {Signal.TRIGGER_SEQ: 0}
        assert link._checked_at > 0
        link._checked_at = time.monotonic()  # however slow this machine is
        await link.write({Signal.TRIGGER_ACK_SEQ: 1})
        assert asked == [(Signal.TRIGGER_SEQ, Signal.VISION_HEARTBEAT)]
        cable.values[Signal.VISION_HEARTBEAT] = beat_of(gateway_of(_beat(cable)) ^ 1, 1)
        with pytest.raises(LinkError, match="not in charge"):
            await link.read([Signal.TRIGGER_SEQ])
        assert events[-1] is Notice.DISCONNECTED


@pytest.mark.asyncio
async def test_a_reconnection_finds_its_own_number_and_goes_on(tmp_path: Path) -> None:
    cable = InMemoryLineLink()
    link = owned(cable, tmp_path, "a")
    async with running(link) as (events, _):
        await until(lambda: link.in_charge, 5)
        mine = gateway_of(_beat(cable))
        for _ in range(20):
            cable.cut()
            await until(lambda: events[-1] is Notice.DISCONNECTED)
            cable.mend()
            await until(lambda: link.in_charge)
        assert gateway_of(_beat(cable)) == mine


class Unread(InMemoryLineLink):
    """A controller some of whose values have no good quality when they are read."""

    lacks: frozenset[Signal] = frozenset()

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        return {s: v for s, v in (await super().read(signals)).items() if s not in self.lacks}


@pytest.mark.asyncio
async def test_a_stand_by_takes_over_with_nothing_that_stood_there_when_it_connected(
    tmp_path: Path,
) -> None:
    """Hours ago, maybe: an old TriggerSeq would be a cold start, an old reset a new one."""
    cable = Unread()
    link = owned(cable, tmp_path, "a", standby=True)
    async with running(link) as (events, _):
        await until(lambda: bool(cable._on_event))
        cable.values |= {Signal.TRIGGER_SEQ: 5000, Signal.FAULT_RESET_SEQ: 3, Signal.LOT_ID: "L"}
        cable.lacks = frozenset({Signal.TRIGGER_SEQ, Signal.FAULT_RESET_SEQ, Signal.LOT_ID})
        await until(lambda: link.number or gateway_of(number(cable.values, BEAT)) != 0, 5)
        await asyncio.sleep(0.5)
        assert not link.in_charge, "nobody knows which trigger was the last"
        cable.lacks -= {Signal.TRIGGER_SEQ}
        await until(lambda: link.in_charge, 5)
        (told,) = [event.values for event in events if isinstance(event, Connected)]
        assert (told[Signal.TRIGGER_SEQ], told[Signal.LOT_ID]) == (5000, "")
        assert Signal.FAULT_RESET_SEQ not in told


@pytest.mark.asyncio
async def test_a_claim_takes_a_dead_gateways_ready_down_and_a_live_one_puts_it_back(
    tmp_path: Path,
) -> None:
    cables = Cables()
    first, claimer = (owned(cables.another(), tmp_path, name) for name in "ab")
    values = cables.first.values
    async with running(first):
        await until(lambda: first.in_charge, 5)
        await first.write({Signal.READY: True})
        async with running(claimer._link):
            claiming = asyncio.create_task(claimer._claim(_beat(cables.first)))
            await until(lambda: not values[Signal.READY])
            await first.write({Signal.VISION_HEARTBEAT: 9})  # it had read its number just before
            assert not await claiming
        await first.write({Signal.VISION_HEARTBEAT: 10})
        assert values[Signal.READY] is True


@pytest.mark.asyncio
async def test_a_controller_that_takes_long_for_a_write_is_served(tmp_path: Path) -> None:
    cables = Cables()
    slow = cables.another()
    write, landed = slow.write, asyncio.Event()

    async def slowly(values: SignalValues) -> frozenset[Signal]:
        await asyncio.sleep(0.2)
        landed.set()
        return await write(values)

    slow.write = slowly  # type: ignore[method-assign]
    link = owned(slow, tmp_path, "a")
    async with running(link):
        await until(lambda: link.in_charge, 5)
    other = owned(slow, tmp_path, "b", standby=True)
    async with running(slow):
        claiming = asyncio.create_task(other._claim(_beat(cables.first)))
        await landed.wait()
        await asyncio.sleep(0.35)  # one that was on its way as long as that comes last, and wins
        assert not claiming.done()
        cables.first.values[Signal.VISION_HEARTBEAT] = beat_of(gateway_of(_beat(slow)) ^ 1, 1)
        assert not await claiming


def _beat(cable: InMemoryLineLink) -> int:
    return number(cable.values, Signal.VISION_HEARTBEAT)


# --- the line -----------------------------------------------------------------------------


@asynccontextmanager
async def two_gateways(folder: Path, config: GatewaySettings) -> AsyncIterator[tuple[Line, Line]]:
    """A line with a gateway in charge, and another one that is not started yet."""
    plc = PlcConfig(takt_s=5.0)
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    async with running_line(folder / "a", plc, owned=True) as first:
        second = Line(folder / "b", first.plc, config=config, owned=True)
        first.bus.answer = second.bus.answer = at_once
        try:
            await first.start_gateway()
            yield first, second
        finally:
            with suppress(GatewayBusyError):
                await second.stop_gateway()
            await second.bus.close()


async def parts(line: Line, numbers: Sequence[int]) -> None:
    for count in numbers:
        await line.plc.wait_for(lambda: line.plc.ready, 5)
        seq = await line.plc.trigger(PlannedPart(part_id=f"p{count}", product_id="demo"))
        await line.plc.settled(seq)


def ledger(line: Line) -> list[tuple[int, str, int]]:
    """Trigger, source and number of results of each part."""
    entries = entries_of(line.plc.ledger.rows)
    return [(entry.key[1], entry.source, len(entry.results)) for entry in entries]


@pytest.mark.asyncio
async def test_a_second_gateway_is_refused(tmp_path: Path) -> None:
    async with two_gateways(tmp_path, GatewaySettings()) as (first, second):
        await second.start_gateway(ready=False)
        assert second._task is not None
        feeding = asyncio.create_task(parts(first, range(10)))
        async with asyncio.timeout(10):
            with pytest.raises(GatewayBusyError, match="another gateway is in charge"):
                await second._task
        await feeding
        assert ledger(first) == [(seq, "expert", 1) for seq in range(1, 11)]
        assert not second.bus.frames


@pytest.mark.asyncio
async def test_a_stand_by_takes_over_and_the_first_writes_nothing_when_it_wakes(
    tmp_path: Path,
) -> None:
    async with two_gateways(tmp_path, STANDBY) as (first, second):
        standing_by = await second.start_gateway(ready=False)
        await parts(first, range(3))
        foreign = frame_on("line1").model_copy(update={"plc_boot_id": 77})
        standing_by._hear(decision_for(foreign))
        assert not second.bus.acks, "a stand-by answers for parts of the gateway in charge"
        waking = first.gateway
        assert waking is not None
        assert first._task is not None
        old = waking._ports.link
        first._task.cancel()  # its last words are lost, as those of a killed process
        old.in_charge = False
        with suppress(asyncio.CancelledError):
            await first._task
        first._task = None
        assert await first.plc.wait_for(lambda: second.gateway._ports.link.in_charge, 10)
        await parts(second, range(3, 6))
        assert ledger(first) == [(seq, "expert", 1) for seq in range(1, 7)]
        assert [frame.trigger_seq for frame in second.bus.frames] == [4, 5, 6]
        await first.start_gateway(ready=False)  # and finds the other one in charge
        with pytest.raises(GatewayBusyError):
            await first._task
        first._task = None
        await parts(second, range(6, 8))
        assert ledger(first) == [(seq, "expert", 1) for seq in range(1, 9)]
