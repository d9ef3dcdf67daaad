"""The contract of ``connectors.line_link.LineLink``: the twin and OPC UA keep it."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from connectors.errors import LinkError
from connectors.gateway.ownership import OwnedLink
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.handshake.values import Connected, Notice, TriggerAge
from connectors.line_link import Changed, LineLink, LinkEvent
from connectors.opcua.link import OpcUaLink
from connectors.settings import GatewaySettings
from connectors.vision.controller import JobController
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from tests.contracts.twins.line_link import InMemoryLineLink
from tests.waiting import until


class TwinController:
    """The controller's side of the twin."""

    def __init__(self) -> None:
        self.link = InMemoryLineLink()

    async def put(self, values: SignalValues) -> None:
        self.link.put(values)

    def seen(self, signal: Signal) -> SignalValue:
        return self.link.values[signal]

    async def power_cycle(self) -> None:
        self.link.cut()
        await asyncio.sleep(0)
        self.link.values.update({s: s.default for s in Signal})
        self.link.mend()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class OwnedController:
    """The twin, behind the link of a gateway that has made sure that it is in charge."""

    def __init__(self) -> None:
        self.inner = InMemoryLineLink()
        nowhere = Path(os.devnull) / "line.owner"
        self.link = OwnedLink(self.inner, HandshakeConfig(), nowhere, standby=False)

    async def put(self, values: SignalValues) -> None:
        self.inner.put(values)

    def seen(self, signal: Signal) -> SignalValue:
        return self.inner.values[signal]

    async def power_cycle(self) -> None:
        self.inner.cut()
        await asyncio.sleep(0)
        self.inner.values.update({s: s.default for s in Signal})
        self.inner.mend()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class OpcUaController:
    """The controller's side of an OPC UA server."""

    def __init__(self) -> None:
        self.plc = SimulatedPlc(PlcConfig(url=f"opc.tcp://127.0.0.1:{free_port()}"))
        self.link = OpcUaLink(GatewaySettings(plc_url=self.plc.config.url, reconnect_max_s=0.2))

    async def put(self, values: SignalValues) -> None:
        await self.plc.put(values)

    def seen(self, signal: Signal) -> SignalValue:
        return self.plc.gateway(signal)

    async def power_cycle(self) -> None:
        await self.plc.restart()

    async def start(self) -> None:
        await self.plc.start()

    async def stop(self) -> None:
        await self.plc.stop()


class JobsController:
    """The controller within the process of the vision server."""

    def __init__(self) -> None:
        self.link = JobController(HandshakeConfig(), window_ms=1000)

    async def put(self, values: SignalValues) -> None:
        self.link.put(values)

    def seen(self, signal: Signal) -> SignalValue:
        return self.link.values[signal]

    async def power_cycle(self) -> None:
        pytest.skip("a controller within the gateway's process is there as long as the gateway")

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


Controller = TwinController | OwnedController | OpcUaController | JobsController


@pytest.fixture(params=[TwinController, OwnedController, OpcUaController, JobsController])
def controller(request: pytest.FixtureRequest) -> Controller:
    made: Controller = request.param()
    return made


class Running:
    """A controller with a link that runs, and what the link said."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.link: LineLink = controller.link
        self.events: list[LinkEvent] = []

    async def __aenter__(self) -> "Running":
        await self.controller.start()
        self._task = asyncio.create_task(self.link.run(self.events.append))
        await until(lambda: self.connections == 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.controller.stop()

    @property
    def connections(self) -> int:
        return sum(isinstance(event, Connected) for event in self.events)

    def changed(self) -> dict[Signal, SignalValue]:
        return {s: v for e in self.events if isinstance(e, Changed) for s, v in e.values.items()}


@pytest.mark.asyncio
async def test_begins_with_every_signal(controller: Controller) -> None:
    async with Running(controller) as running:
        first = running.events[0]
        assert isinstance(first, Connected)
        assert first.values == {signal: controller.seen(signal) for signal in Signal}


@pytest.mark.asyncio
async def test_tells_watched_signals_and_reads_the_others(controller: Controller) -> None:
    async with Running(controller) as running:
        await controller.put({Signal.PART_ID: "b\n☃", Signal.ENCODER_POS: -5})
        await controller.put({Signal.TRIGGER_SEQ: 4294967295})
        await until(lambda: running.changed().get(Signal.TRIGGER_SEQ) == 4294967295)
        assert not running.changed().keys() & {Signal.PART_ID, Signal.ENCODER_POS}
        read = await controller.link.read([Signal.PART_ID, Signal.ENCODER_POS])
        assert read == {Signal.PART_ID: "b\n☃", Signal.ENCODER_POS: -5}


@pytest.mark.asyncio
async def test_tells_how_long_ago_a_trigger_was_given_at_most(controller: Controller) -> None:
    async with Running(controller) as running:
        assert controller.link.trigger_age() == TriggerAge(), "none was read yet"
        await controller.put({Signal.TRIGGER_SEQ: 5})
        await until(lambda: running.changed().get(Signal.TRIGGER_SEQ) == 5)
        await controller.link.read([Signal.TRIGGER_SEQ])
        age = controller.link.trigger_age()
        assert 0.0 <= age.known_s <= age.at_most_s


@pytest.mark.asyncio
async def test_writes_what_the_gateway_owns(controller: Controller) -> None:
    async with Running(controller):
        await controller.link.write({Signal.READY: True, Signal.SCORE: 0.5, Signal.CLASS_ID: 3})
        written = (Signal.READY, Signal.SCORE, Signal.CLASS_ID)
        assert [controller.seen(s) for s in written] == [True, 0.5, 3]


@pytest.mark.asyncio
async def test_a_signal_that_is_refused_for_good_is_named_and_the_others_are_written(
    controller: Controller,
) -> None:
    async with Running(controller) as running:
        for beat in (1, 2):
            values = {Signal.TRIGGER_SEQ: 5, Signal.VISION_HEARTBEAT: beat}
            assert await controller.link.write(values) == {Signal.TRIGGER_SEQ}
            assert int(str(controller.seen(Signal.VISION_HEARTBEAT))) & 0xFFFF == beat
        assert await controller.link.write({Signal.READY: True}) == frozenset()
        assert running.connections == 1
        assert controller.seen(Signal.TRIGGER_SEQ) == 0


@pytest.mark.asyncio
async def test_without_a_connection_every_call_is_an_error(controller: Controller) -> None:
    with pytest.raises(LinkError):
        await controller.link.read([Signal.READY])
    with pytest.raises(LinkError):
        await controller.link.write({Signal.READY: True})


@pytest.mark.asyncio
async def test_a_lost_connection_is_told_and_replaced(controller: Controller) -> None:
    async with Running(controller) as running:
        await controller.link.write({Signal.READY: True})
        for count in (2, 3):  # a second cut is where clients were seen to stay silent
            await controller.power_cycle()
            await until(lambda: running.connections == count, 20)  # noqa: B023
            last = [e for e in running.events if isinstance(e, Connected)][-1]
            assert last.values[Signal.READY] is False
        assert running.events.count(Notice.DISCONNECTED) == 2
        await controller.put({Signal.TRIGGER_SEQ: 8})
        await until(lambda: running.changed().get(Signal.TRIGGER_SEQ) == 8)
    assert running.events[-1] is Notice.DISCONNECTED
