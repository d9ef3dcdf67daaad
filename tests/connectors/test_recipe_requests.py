"""A request for a recipe that cannot be read: read again, then refused with a code."""

from pathlib import Path

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from connectors.gateway.recipe_requests import GIVEN_UP_S, RecipeRequests
from connectors.handshake import HandshakeConfig
from connectors.handshake import values as hs
from connectors.handshake.signals import Signal, SignalValue
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from streams.codes import FaultCode
from tests.connectors.line import running_line
from tests.connectors.test_changeover import outcomes, shown, under, world_at
from tests.connectors.test_controller_faults import put_with
from tests.waiting import until

SEQ: dict[Signal, SignalValue] = {Signal.RECIPE_REQ_SEQ: 4}
WHOLE: dict[Signal, SignalValue] = {**SEQ, Signal.RECIPE_REQ: 2}
UNREADABLE = hs.RecipeRequested(4, 0, is_readable=False)


BOTH = (Signal.RECIPE_REQ_SEQ, Signal.RECIPE_REQ)


def read(asked: RecipeRequests, values: dict[Signal, SignalValue], at: float) -> object:
    """One read: what was asked for with it, and the request that follows."""
    wanted = asked.begin()
    assert wanted in ((), BOTH)
    return asked.read(values, at) if wanted else None


def test_a_request_is_read_until_it_can_be_and_answered_once() -> None:
    asked = RecipeRequests()
    assert (asked.begin(), asked.read(WHOLE, 1.0)) == ((), None)
    asked.moved()
    assert asked.begin() == BOTH
    assert asked.read({}, 1.0) is None
    assert read(asked, SEQ, 1.1) is None
    assert read(asked, WHOLE, 1.2) == hs.RecipeRequested(4, 2)
    assert (asked.stands, read(asked, WHOLE, 1.3)) == (False, None)


def test_a_request_that_comes_while_the_one_before_is_read_is_read_too() -> None:
    asked = RecipeRequests()
    asked.moved()
    asked.begin()
    asked.moved()
    assert asked.read({**WHOLE, Signal.RECIPE_REQ_SEQ: 3}, 1.0) == hs.RecipeRequested(3, 2)
    assert asked.stands
    assert read(asked, WHOLE, 1.1) == hs.RecipeRequested(4, 2)


def test_a_request_that_stays_without_quality_is_given_up() -> None:
    asked = RecipeRequests()
    asked.moved()
    assert read(asked, SEQ, 10.0) is None
    assert read(asked, SEQ, 10.0 + GIVEN_UP_S - 0.01) is None
    assert asked.stands
    assert read(asked, SEQ, 10.0 + GIVEN_UP_S) == UNREADABLE
    assert not asked.stands
    asked.moved()
    assert read(asked, {}, 20.0) is None, "the time counts anew"
    assert read(asked, {}, 20.0 + GIVEN_UP_S) is None, "without its number nobody can answer"
    assert not asked.stands


def test_a_connection_without_the_request_has_it_read() -> None:
    asked = RecipeRequests()
    asked.connected(WHOLE)
    assert not asked.stands
    asked.connected(SEQ)
    assert asked.stands


def test_an_unreadable_request_is_refused_with_a_code_and_the_recipe_before_goes_on() -> None:
    world = under(1)
    world.feed(hs.RecipeRequested(2, 0, is_readable=False))
    world.run(1)
    assert shown(world) == (2, 1, FaultCode.RECIPE_UNREADABLE)
    assert world.plc[Signal.READY]
    world.plc[Signal.RECIPE_REQ_SEQ] = 2
    world.ask(3)
    world.run(1)
    assert shown(world) == (3, 3, FaultCode.NONE)
    assert outcomes(world) == [(1, None), (0, FaultCode.RECIPE_UNREADABLE), (3, None)]


def test_a_change_over_under_way_goes_on_when_its_request_cannot_be_read_any_more() -> None:
    world = under(1, prepare_s=(0.5, 0.6))
    seq = world.ask(2)
    world.run(0.1)
    world.cut()
    whole = dict(world.plc)
    del world.plc[Signal.RECIPE_REQ]
    world.connect()
    world.feed(hs.RecipeRequested(seq, 0, is_readable=False))
    world.plc.update(whole)
    world.run(2)
    assert shown(world) == (2, 2, FaultCode.NONE)


def test_a_connection_that_cannot_read_the_number_of_a_request_leaves_the_recipe_in_force() -> None:
    world = under(2)
    world.cut()
    asked = world.plc.pop(Signal.RECIPE_REQ_SEQ)
    world.connect()
    world.plc[Signal.RECIPE_REQ_SEQ] = asked
    world.run(1)
    assert shown(world) == (1, 2, FaultCode.NONE)
    assert world.plc[Signal.READY]


def test_a_reset_that_a_connection_could_not_read_resets_nothing_when_it_is_read() -> None:
    world = world_at(config=HandshakeConfig())
    world.feed(hs.Notice.STOP_REQUESTED)
    world.run(0.1)
    for is_new in (False, True):
        world.cut()
        world.plc.pop(Signal.FAULT_RESET_SEQ, None)
        if is_new:
            world.state = type(world.state)(world.config)
        world.connect()
        if is_new:
            world.feed(hs.CounterMoved(Signal.FAULT_RESET_SEQ, 4))
        world.run(1)
        assert world.plc[Signal.STOP_REQUEST]
    world.feed(hs.CounterMoved(Signal.FAULT_RESET_SEQ, 5))
    world.run(1)
    assert not world.plc[Signal.STOP_REQUEST]


@pytest.mark.parametrize("recipes", [{}, {1: {"product": "small"}}])
def test_a_request_that_a_connection_cannot_read_waits(recipes: dict[int, object]) -> None:
    world = world_at(config=HandshakeConfig.model_validate({"recipes": recipes}))
    world.cut()
    world.plc[Signal.RECIPE_REQ_SEQ] = 5
    wanted = world.plc.pop(Signal.RECIPE_REQ)
    world.connect()
    world.run(1)
    assert shown(world) == (0, 0, FaultCode.NONE), "not refused, and not taken for recipe 0"
    world.plc[Signal.RECIPE_REQ] = wanted
    world.feed(hs.RecipeRequested(5, 0, is_readable=False))
    world.run(1)
    assert shown(world) == (5, 0, FaultCode.RECIPE_UNREADABLE)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "status", [ua.StatusCodes.UncertainLastUsableValue, ua.StatusCodes.BadWaitingForInitialData]
)
async def test_a_controller_whose_request_has_no_quality_gets_its_answer(
    tmp_path: Path, status: int
) -> None:
    settings = GatewaySettings.model_validate(
        {"result_window_ms": 10_000, "recipes": {1: "tile", 2: "board"}}
    )
    plc = PlcConfig(takt_s=1.0, window_s=10.0, heartbeat_missed=100)
    async with running_line(tmp_path, plc, config=settings) as line:
        await line.start_gateway(ready=False)
        await until(lambda: bool(line.plc.gateway(Signal.ONLINE)), 20)
        assert await line.plc.change_recipe(1, 20)
        with capture_logs() as told:
            await put_with(line, Signal.RECIPE_REQ, 2, status)
            await line.plc.put({Signal.RECIPE_REQ_SEQ: 2})
            answered = Signal.RECIPE_ACK_SEQ
            assert await line.plc.wait_for(lambda: line.plc.gateway(answered) == 2, 20)
        said = [row for row in told if row["event"] == "plc.value_unusable"]
        assert [row["signal"] for row in said] == ["RecipeReq"]
        assert line.plc.gateway(Signal.RECIPE_ACTIVE) == 1
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.RECIPE_UNREADABLE
        assert await line.plc.change_recipe(2, 20)
        assert await line.plc.wait_for(
            lambda: line.plc.gateway(Signal.FAULT_CODE) == FaultCode.NONE, 20
        )
