"""A controller that hangs up again and again: Ready comes back, and every trigger is on record.

``ANDON_TEST_RECONNECTIONS=1000 pytest tests/connectors/test_reconnections.py -o log_cli=true`` does
it 1,000 times, demands Ready within 3 s, and says how long it took.
"""

import asyncio
import gc
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from asyncua import Client

from connectors.opcua.link import OpcUaLink
from connectors.opcua.node_set import NodeSet
from connectors.opcua.subscription import Notifications
from connectors.settings import GatewaySettings
from infra.stack.process import free_port
from lab.plc.controller import PlcConfig, SimulatedPlc
from lab.plc.ledger import entries_of
from lab.plc.opcua_server import NAMESPACE, NodeLayout, SignalServer
from lab.plc.plan import PlannedPart
from tests.connectors.line import at_once, running_line
from tests.waiting import until

_TIMES = int(os.environ.get("ANDON_TEST_RECONNECTIONS", "3"))
_WITHIN_S = 3.0 if "ANDON_TEST_RECONNECTIONS" in os.environ else 10.0
_MANY = int(os.environ.get("ANDON_TEST_RECONNECTIONS", "50"))


@pytest.mark.asyncio
@pytest.mark.timeout(60 + 10 * _TIMES)
async def test_every_trigger_between_reconnections_is_on_record(tmp_path: Path) -> None:
    config = GatewaySettings(result_window_ms=5000, reconnect_max_s=0.3)
    plc_config = PlcConfig(takt_s=5.0, heartbeat_missed=100)
    async with running_line(tmp_path, plc_config, config=config, owned=True) as line:
        line.bus.answer = at_once
        gateway = await line.start_gateway()
        for number in range(_TIMES):
            await line.plc._server.hang_up()
            await until(lambda: not gateway._state.online, 10)
            seq = await line.plc.trigger(PlannedPart(part_id=f"away {number}", product_id="demo"))
            await line.plc._server.listen()
            await line.plc.settled(seq)
            assert await line.plc.wait_for(lambda: line.plc.ready, 10)
            seq = await line.plc.trigger(PlannedPart(part_id=f"back {number}", product_id="demo"))
            await line.plc.settled(seq)
        await until(lambda: len(line.bus.acks) == 2 * _TIMES, 10)
        entries = entries_of(line.plc.ledger.rows)
        assert [(entry.action, entry.results_in_window) for entry in entries] == [
            ("hold", 1),
            ("pass", 1),
        ] * _TIMES
        assert {ack.trigger_seq for ack in line.bus.acks} == set(range(1, 2 * _TIMES + 1))


async def namespaces_move(plc: SimulatedPlc, before: int) -> None:
    """The controller's server is replaced by one that registers other namespaces before ours."""
    old = plc._server
    others = tuple(f"urn:other:{number}" for number in range(before))
    layout = NodeLayout(namespaces=(*others, NAMESPACE))
    new = SignalServer(old.url, old.on_change, dict(old.values), layout=layout)
    await new.open()
    plc._server = new
    await new.put(old.values)
    await old.close()


def alive(*kinds: type) -> dict[str, int]:
    """How many objects of these classes there are."""
    gc.collect()
    found = gc.get_objects()
    return {kind.__name__: sum(type(one) is kind for one in found) for kind in kinds}


@pytest.mark.asyncio
@pytest.mark.timeout(60 + 10 * _MANY)
@pytest.mark.parametrize("times", [8, pytest.param(_MANY, marks=pytest.mark.slow)])
async def test_ready_comes_back_after_each_of_many_reconnections(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """Also where the index of the namespace is another one; and nothing of a connection is left."""
    caplog.set_level(logging.CRITICAL + 1, "asyncua")  # a record keeps what its error was raised in
    config = GatewaySettings(result_window_ms=5000, reconnect_max_s=0.3)
    plc_config = PlcConfig(takt_s=5.0, heartbeat_missed=100)
    took_s: list[float] = []
    async with running_line(tmp_path, plc_config, config=config) as line:
        gateway = await line.start_gateway()
        tasks = 0
        for number in range(times):
            await line.plc._server.hang_up()
            await until(lambda: not gateway._state.online, 10)
            if times == _MANY and number == times // 2:
                await namespaces_move(line.plc, 2)
            began = time.monotonic()
            await line.plc._server.listen()
            back = await line.plc.wait_for(
                lambda: gateway._state.online and line.plc.ready, _WITHIN_S
            )
            assert back, f"after reconnection {number + 1}"
            took_s.append(time.monotonic() - began)
            tasks = tasks or len(asyncio.all_tasks())
        server = line.plc._server._running().iserver
        assert len(server._external_sessions) == 1
        assert len(server.subscription_service.subscriptions) == 1
        await until(lambda: len(asyncio.all_tasks()) <= tasks, 10, "no more tasks than at first")
        left = alive(Client, NodeSet, Notifications)
    assert max(left.values()) <= 2, left
    said = "%d reconnections: Ready again after %.2f s at most, half of them after %.2f s"
    logging.getLogger(__name__).warning(said, times, max(took_s), sorted(took_s)[times // 2])


@pytest.mark.asyncio
async def test_a_client_that_keeps_a_cancellation_to_itself_holds_up_no_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = OpcUaLink(GatewaySettings(plc_url=f"opc.tcp://127.0.0.1:{free_port()}"))
    closing = asyncio.Event()

    async def close(_: object) -> None:
        closing.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(link, "_close", close)
    running = asyncio.create_task(link.run(lambda _: None))
    await asyncio.wait_for(closing.wait(), 20)
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=20)
    assert running in done, "it connects anew"
    assert running.cancelled()
