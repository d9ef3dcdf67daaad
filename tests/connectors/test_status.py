"""What the gateway says of itself: from the handshake's steps, and what passed over the link."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from connectors.gateway.status import GatewayWatch, WatchedLink, phase_of
from connectors.handshake import HandshakeConfig
from connectors.handshake import values as hs
from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.line_link import Changed, LinkEvent
from connectors.settings import GatewaySettings
from streams.codes import FaultCode
from streams.status import GatewayState, LinePhase, ProcessStatus
from tests.connectors.handshake_state import KEY, part, shown, state
from tests.connectors.watched_world import played_world

SETTINGS = GatewaySettings(line="L1", station="S1", plc_url="opc.tcp://plc:4840")


class Link:
    """A controller that shows fixed values."""

    def __init__(self) -> None:
        self.values = dict(shown(part_id="P-5"))
        self.hang_up = asyncio.Event()

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        on_event(hs.Connected(self.values))
        on_event(Changed({Signal.PLC_HEARTBEAT: 9}))
        await self.hang_up.wait()
        on_event(hs.Notice.DISCONNECTED)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        return {signal: self.values[signal] for signal in signals}

    def trigger_age(self) -> hs.TriggerAge:
        return hs.TriggerAge(0.25)

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        return frozenset(values.keys() & {Signal.SCORE})


def watch(link: WatchedLink | None = None, in_charge: bool = True) -> GatewayWatch:
    return GatewayWatch(
        SETTINGS,
        link or WatchedLink(Link()),
        "edge-1-ab12",
        "0.2.0",
        lambda: in_charge,
        lambda: 4711,
        {"words": lambda: 2},
        lambda: {"tile": "70170c"},
        2.0,
    )


def gateway(said: ProcessStatus) -> GatewayState:
    assert said.gateway is not None
    return said.gateway


def test_a_whole_line_is_told() -> None:
    found = watch()
    world = played_world(found.saw, silent=0.2)
    now = gateway(found.look())
    assert now.phase is LinePhase.READY
    assert now.counts.captured == now.counts.acknowledged == 20
    assert 0 < now.counts.watchdog < 20
    assert (now.result_window_ms, now.product_id) == (800, "p")
    assert (now.owner, now.spooled) == (4711, {"words": 2})
    assert now.signals["TriggerAckSeq"] == world.state.last_trigger_seq
    assert now.signals["Ready"] is True


def test_who_says_it() -> None:
    said = watch().look()
    assert said.key == "gateway/L1/S1/edge-1-ab12"
    assert said.policies == {"tile": "70170c"}
    assert gateway(said).phase is LinePhase.DISCONNECTED
    assert gateway(said).plc == "opc.tcp://plc:4840"


def test_a_fault_is_told_since_when_and_ends() -> None:
    found, before = watch(), state()
    faulty = state(faults=frozenset({FaultCode.CAMERA}))
    found.saw(before, faulty, ())
    (standing,) = gateway(found.look()).faults
    worse = state(faults=frozenset({FaultCode.CAMERA, FaultCode.KAFKA}))
    found.saw(faulty, worse, ())
    told = {fault.code: fault.since for fault in gateway(found.look()).faults}
    assert told[FaultCode.CAMERA] == standing.since
    assert gateway(found.look()).fault_code is FaultCode.CAMERA
    found.saw(worse, before, ())
    assert gateway(found.look()).faults == ()


def test_an_overrun_counts_once() -> None:
    found, before, after = watch(), state(), state(overrun=True)
    found.saw(before, after, ())
    found.saw(after, after, ())
    assert gateway(found.look()).counts.overruns == 1


@pytest.mark.parametrize(
    ("changes", "in_charge", "expected"),
    [
        ({}, True, LinePhase.READY),
        ({"online": False}, False, LinePhase.STANDBY),
        ({"online": False}, True, LinePhase.DISCONNECTED),
        ({"alive": False}, True, LinePhase.SILENT),
        ({"faults": frozenset({FaultCode.JOURNAL})}, True, LinePhase.FAULT),
        ({"faults": frozenset({FaultCode.KAFKA})}, True, LinePhase.READY),
        ({"exposing": KEY}, True, LinePhase.EXPOSING),
    ],
)
def test_where_it_stands_in_the_chart(
    changes: dict[str, object], in_charge: bool, expected: LinePhase
) -> None:
    assert phase_of(state(**changes), in_charge, 4711) is expected


def test_without_a_controller_nobody_stands_by() -> None:
    assert phase_of(state(online=False), False, 0) is LinePhase.DISCONNECTED
    assert phase_of(None, False, 0) is LinePhase.DISCONNECTED


def test_a_recipe_that_is_missing_and_a_full_buffer_are_told_apart() -> None:
    recipes = replace(state(), config=HandshakeConfig(recipes={1: "tile"}))
    assert phase_of(recipes, True, 1) is LinePhase.CHANGEOVER
    full = replace(state(part()), config=HandshakeConfig(pipelining=False))
    assert phase_of(full, True, 1) is LinePhase.FULL


@pytest.mark.asyncio
async def test_the_link_is_as_before_and_what_passes_is_remembered() -> None:
    inner = Link()
    link, heard = WatchedLink(inner), list[LinkEvent]()
    running = asyncio.create_task(link.run(heard.append))
    await asyncio.sleep(0)
    assert link.values[Signal.PART_ID] == "P-5"
    assert link.values[Signal.PLC_HEARTBEAT] == 9
    inner.values[Signal.TRIGGER_SEQ] = 6
    assert await link.read([Signal.TRIGGER_SEQ]) == {Signal.TRIGGER_SEQ: 6}
    refused = await link.write({Signal.RESULT_CODE: 3, Signal.SCORE: 0.5})
    assert refused == {Signal.SCORE}
    assert (link.values[Signal.TRIGGER_SEQ], link.values[Signal.RESULT_CODE]) == (6, 3)
    assert link.trigger_age().known_s == 0.25
    inner.hang_up.set()
    await running
    assert link.values == {}
    assert heard[-1] is hs.Notice.DISCONNECTED
