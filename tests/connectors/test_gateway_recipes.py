"""A change of the recipe over the wire: controller, gateway, camera, policies and a worker."""

from pathlib import Path

import pytest
from asyncua import ua

from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.opcua_server import NodeLayout
from lab.plc.plan import PlannedPart
from lab.plc.play import NoGatewayError, play
from streams.changeovers import ChangeoverPhase, ChangeoverStep
from streams.codes import FaultCode, ResultCode, Stage
from streams.events import Decision, Frame
from tests.connectors.line import Line, decision_for, has_recipe, running_line
from tests.waiting import until

pytestmark = pytest.mark.asyncio

PLC = PlcConfig(takt_s=1.0, window_s=10.0, heartbeat_missed=100)
RECIPES = {
    1: {"product": "tile", "camera_features": {"seed": 1}},
    2: {"product": "board", "name": "Board 2", "camera_features": {"seed": 2}},
    3: {"product": "cable"},
    4: {"product": "tile", "name": "bright", "camera_features": {"Gain": 3}},
    5: {"product": "tile", "name": "old", "policy": "policy-0"},
}
SETTINGS = GatewaySettings.model_validate(
    {"result_window_ms": 10_000, "recipes": RECIPES, "recipe_timeout_s": 20.0}
)
PART = PlannedPart(part_id="the part", product_id="")


async def line_under(line: Line, recipe: int | str) -> Line:
    await line.start_gateway(ready=False)
    await until(lambda: bool(line.plc.gateway(Signal.ONLINE)), 20)
    assert await line.plc.change_recipe(recipe, 20)
    assert await line.plc.wait_for(lambda: line.plc.ready, 20)
    return line


async def test_each_stage_has_the_recipe_when_it_is_acknowledged(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=SETTINGS) as line:
        line.bus.answer = passed
        await line.start_gateway(ready=False)
        plan = [PART.model_copy(update={"recipe": recipe}) for recipe in (1, 2)]
        await play(line.plc, plan, takt_s=0.05, in_flight=1, ready_timeout_s=20)
        found = [(f.recipe, f.product_id, f.image_name.split("-")[1]) for f in line.bus.frames]
        assert found == [(1, "tile", "1"), (2, "board", "2")]
        assert line.plc.gateway(Signal.RESULT_CODE) == ResultCode.PASS
        own = [step for step in line.bus.changeovers if step.stage is Stage.GATEWAY]
        asked, prepared, ended = own[-3:]
        phases = [step.phase.value for step in (asked, prepared, ended)]
        assert phases == ["requested", "prepared", "acknowledged"]
        assert asked.took_ms <= prepared.took_ms <= ended.took_ms
        assert (asked.recipe, asked.recipe_before, asked.product_id) == (2, 1, "board")
        assert ended.changeover_id == asked.changeover_id
        assert (ended.recipe_name, ended.took_ms > 0) == ("Board 2", True)


REFUSED = [
    (2, FaultCode.RECIPE_EXPERT, "inspect: RECIPE_EXPERT"),
    (3, FaultCode.RECIPE_POLICY, "no policy is in force for product 'cable'"),
    (4, FaultCode.RECIPE_CAMERA, "Gain = 3 cannot be set"),
    (5, FaultCode.RECIPE_POLICY, "not policy-0"),
    (9, FaultCode.UNKNOWN_RECIPE, "recipe 9 is not among gateway.recipes"),
]


async def test_a_recipe_that_a_stage_cannot_have_is_refused_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(step: ChangeoverStep) -> ChangeoverStep:
        lacks = step.product_id == "board"
        return has_recipe(step, FaultCode.RECIPE_EXPERT if lacks else FaultCode.NONE)

    monkeypatch.setattr("streams.policy_read.WAIT_S", 0.1)
    async with running_line(tmp_path, PLC, config=SETTINGS) as line:
        await line_under(line, 1)
        line.bus.stage = stage
        for count, (recipe, code, why) in enumerate(REFUSED, 1):
            assert not await line.plc.change_recipe(recipe, 20)
            assert line.plc.gateway(Signal.RECIPE_ACTIVE) == 1
            assert line.plc.gateway(Signal.FAULT_CODE) == code
            await until(lambda n=count: len(refusals(line)) == n, 20)
            ended = refusals(line)[-1]
            assert (ended.fault_code, why in ended.reason) == (code, True), ended.reason
            assert await line.plc.wait_for(lambda: line.plc.ready, 20)
            await line.plc.trigger(PART)
            await until(lambda n=count: len(line.bus.frames) == n, 20)
            assert line.bus.frames[-1].image_name.startswith("synthetic-1-")
            assert line.bus.frames[-1].recipe == 1


def refusals(line: Line) -> list[ChangeoverStep]:
    return [step for step in line.bus.changeovers if step.phase is ChangeoverPhase.REFUSED]


async def test_a_worker_that_never_answers_is_named(tmp_path: Path) -> None:
    config = SETTINGS.model_copy(update={"recipe_timeout_s": 0.5})
    async with running_line(tmp_path, PLC, config=config) as line:
        await line_under(line, 1)
        line.bus.stage = lambda step: None
        assert not await line.plc.change_recipe(2, 20)
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.RECIPE_TIMEOUT
        await until(lambda: line.bus.changeovers[-1].phase is ChangeoverPhase.REFUSED, 20)
        assert "no worker of the role inspect answered" in line.bus.changeovers[-1].reason


async def test_a_restarted_gateway_sets_the_camera_of_a_recipe_that_was_asked_for_by_name(
    tmp_path: Path,
) -> None:
    by_name = NodeLayout(kinds={Signal.RECIPE_REQ: ua.VariantType.String})
    async with running_line(tmp_path, PLC, by_name, config=SETTINGS) as line:
        await line_under(line, "Board 2")
        await line.stop_gateway()
        await line.start_gateway()
        assert line.plc.gateway(Signal.RECIPE_ACTIVE) == 2
        await line.plc.trigger(PART)
        await until(lambda: len(line.bus.frames) == 1, 20)
        assert line.bus.frames[0].image_name.startswith("synthetic-2-")
        assert await line.plc.change_recipe("nobody's", 20)
        with pytest.raises(NoGatewayError, match=r"recipe 9 was refused .*unknown_recipe"):
            await play(line.plc, [PART.model_copy(update={"recipe": 9})], takt_s=0.05)
        assert line.plc.gateway(Signal.FAULT_CODE) == FaultCode.UNKNOWN_RECIPE


async def test_a_decision_by_another_version_than_the_recipes_does_not_stand(
    tmp_path: Path,
) -> None:
    recipes = {1: {"product": "tile", "policy": "policy-1"}}
    config = GatewaySettings.model_validate({"result_window_ms": 700, "recipes": recipes})

    async def other(frame: Frame) -> Decision:
        return decision_for(frame).model_copy(update={"policy_hash": "policy-0"})

    async with running_line(tmp_path, PLC, config=config) as line:
        line.bus.answer = other
        await line_under(line, 1)
        await line.plc.settled(await line.plc.trigger(PART))
        assert line.plc.gateway(Signal.RESULT_CODE) == ResultCode.HOLD


async def passed(frame: Frame) -> Decision:
    return decision_for(frame)
