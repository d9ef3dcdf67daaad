"""The vision server with a client: jobs, states and results; no mandatory field is Null."""

from pathlib import Path

import pytest
from asyncua import ua

from connectors.settings import GatewaySettings
from connectors.vision.node_table import children, nodes
from streams.codes import FaultCode
from tests.connectors.line import has_recipe
from tests.connectors.vision.station import (
    ACQUIRED,
    AUTOMATIC,
    JOB_STARTED,
    MACHINE,
    PREPARED,
    READY,
    RESULT_READY,
    STATE_CHANGED,
    VERSIONS,
    VisionClient,
    connected,
    running_station,
)
from tests.connectors.vision.test_server_faults import _stop
from tests.waiting import until

BAD_STATE = ua.StatusCodes.BadInvalidState


async def refused(client: VisionClient, path: str, *given: object) -> None:
    with pytest.raises(ua.UaStatusCodeError) as error:
        await client.call(path, *given)
    assert error.value.code == BAD_STATE


@pytest.mark.asyncio
async def test_a_single_job_from_preparation_to_its_result(tmp_path: Path) -> None:
    kinds = (STATE_CHANGED, PREPARED, JOB_STARTED, READY, ACQUIRED, RESULT_READY)
    async with running_station(tmp_path) as station, connected(station, *kinds) as client:
        await client.enters(AUTOMATIC, "Initialized")
        with pytest.raises(ua.UaStatusCodeError) as error:
            await client.start(recipe="demo")
        assert error.value.code == BAD_STATE
        await client.prepare()
        job, code = await client.start(part="P-7")
        assert code == 0
        (event,) = await client.hears(client.of(RESULT_READY))
        assert (event.JobId.Id, event.PartId.Id, event.MeasId.Id) == (job.Id, "P-7", "M-1")
        assert event.ExternalRecipeId.Id == event.ProductId.Id == "demo"
        assert event.InternalRecipeId.Version == VERSIONS["demo"]
        assert event.ResultState == 1
        assert [one.Value for one in event.ResultContent[:3]] == ["pass", 1, "normal"]
        for row in children(str(RESULT_READY)):
            assert getattr(event, row.plain_name) is not None, row.plain_name
        for name in ("EventId", "SourceNode", "SourceName", "Time", "ReceiveTime", "Message"):
            assert getattr(event, name) is not None, name
        await client.hears(client.of(READY))
        await client.enters(AUTOMATIC, "Ready")
        moved = [e.Transition.Text for e in client.seen.events if client.of(STATE_CHANGED)(e)]
        assert moved[-3:] == [
            "InitializedToReadyRecipe",
            "ReadyToSingleExecution",
            "SingleExecutionToReadyAuto",
        ]
        order = [nodes()[str(e.EventType.Identifier)].plain_name for e in client.seen.events]
        told = [name for name in order if name not in ("StateChangedEventType",)]
        assert told.index("JobStartedEventType") < told.index("AcquisitionDoneEventType")
        assert told[0] == "RecipePreparedEventType"
        await _results_can_be_asked_for(client, event.ResultId)


async def _results_can_be_asked_for(client: VisionClient, result_id: object) -> None:
    timeout = ua.Variant(1000, ua.VariantType.Int32)
    own = "ResultManagement"
    _, result, error = await client.call(f"{own}.GetResultById", result_id, timeout)
    assert (error, result.ResultId, result.PartId.Id) == (0, result_id, "P-7")
    assert [one.Value for one in result.ResultContent[:1]] == ["pass"]
    *parts, error = await client.call(f"{own}.GetResultComponentsById", result_id, timeout)
    assert (error, parts[6].Id) == (0, "P-7")
    nobody = ua.ResultIdDataType(Id="nothing")
    *_, error = await client.call(f"{own}.GetResultById", nobody, timeout)
    assert error == -4


@pytest.mark.asyncio
async def test_lists_of_recipes_results_and_configurations(tmp_path: Path) -> None:
    roomy = running_station(tmp_path, window_ms=20_000)
    async with roomy as station, connected(station, RESULT_READY) as client:
        await client.prepare("tile")
        for _ in range(2):
            assert (await client.start())[1] == 0
            await client.enters(AUTOMATIC, "Ready")
        await client.hears(client.of(RESULT_READY), 2)
        number = ua.Variant(0, ua.VariantType.UInt32)
        rest = (number, number, ua.Variant(0, ua.VariantType.Int32))
        for prepared, names in ((2, {"demo", "tile"}), (1, {"tile"}), (0, {"demo"})):
            complete, count, _, found, error = await client.call(
                "RecipeManagement.GetRecipeListFiltered",
                ua.RecipeIdExternalDataType(),
                ua.ProductIdDataType(),
                ua.Variant(prepared, ua.VariantType.Int32),
                *rest,
            )
            assert (complete, count, error) == (True, len(names), 0)
            assert {one.Id.partition("@")[0] for one in found} == names
        wanted = [
            ua.MeasIdDataType(Id="M-1"),
            ua.PartIdDataType(),
            ua.RecipeIdExternalDataType(Id="tile"),
            ua.RecipeIdInternalDataType(),
            ua.ConfigurationIdDataType(),
            ua.ConfigurationIdDataType(),
            ua.ProductIdDataType(),
            ua.JobIdDataType(),
        ]
        one_page = (ua.Variant(1, ua.VariantType.UInt32), number, rest[2])
        path, any_state = (
            "ResultManagement.GetResultListFiltered",
            ua.Variant(0, ua.VariantType.Int32),
        )
        complete, count, _, found, error = await client.call(path, any_state, *wanted, *one_page)
        assert (complete, count, len(found), error) == (False, 1, 1, 0)
        failed = ua.Variant(4, ua.VariantType.Int32)
        assert (await client.call(path, failed, *wanted, *rest))[1] == 0
        *_, found, error = await client.call("ConfigurationManagement.GetConfigurationList", *rest)
        assert (error, found[0].InternalId.Id) == (0, "line1/station1")
        active = await client.node("ConfigurationManagement.ActiveConfiguration").read_value()
        assert active.InternalId == found[0].InternalId
        (error,) = await client.call(
            "ConfigurationManagement.ActivateConfiguration", ua.ConfigurationIdDataType(Id="other")
        )
        assert error == -5


@pytest.mark.asyncio
async def test_a_recipe_of_the_settings_is_prepared_once_every_stage_has_it(tmp_path: Path) -> None:
    recipes = {7: {"product": "demo", "name": "Demo 30x30"}, 8: "tile", 9: "carpet"}
    gateway = GatewaySettings.model_validate({"recipes": recipes})
    async with (
        running_station(tmp_path, gateway=gateway) as station,
        connected(station, RESULT_READY, PREPARED) as client,
    ):
        await client.prepare("Demo 30x30")  # the system is operational without any recipe
        await client.hears(client.of(PREPARED))
        assert (await client.start(part="P-1"))[1] == 0
        (event,) = await client.hears(client.of(RESULT_READY))
        assert (event.ExternalRecipeId.Id, event.ProductId.Id) == ("Demo 30x30", "demo")
        frame = station.bus.frames[0]
        assert (frame.product_id, frame.recipe) == ("demo", 7)
        await client.enters(AUTOMATIC, "Ready")
        station.bus.stage = lambda step: has_recipe(step, FaultCode.RECIPE_EXPERT)
        inside = ua.RecipeIdInternalDataType()
        path = "RecipeManagement.PrepareRecipe"
        for name, code in (("tile", -100 - FaultCode.RECIPE_EXPERT), ("carpet", -1)):
            *_, done, error = await client.call(path, ua.RecipeIdExternalDataType(Id=name), inside)
            assert (done, error) == (False, code)
        assert (await client.start(part="P-2"))[1] == 0  # the one before stands


@pytest.mark.asyncio
async def test_the_methods_of_the_state_machine(tmp_path: Path) -> None:
    why = ua.Variant(0, ua.VariantType.Int32), ua.Variant("", ua.VariantType.String)
    async with running_station(tmp_path) as station, connected(station) as client:
        await client.enters(MACHINE, "Operational")
        await refused(client, f"{MACHINE}.SelectModeAutomatic")
        await refused(client, f"{AUTOMATIC}.Stop", *why)
        assert await client.call(f"{MACHINE}.Halt", *why) == [0]
        assert await client.state(MACHINE) == "Halted"
        await refused(client, f"{MACHINE}.Halt", *why)
        assert await client.call(f"{MACHINE}.Reset", *why) == [0]
        assert await client.state(MACHINE) == "Preoperational"
        assert await client.call(f"{MACHINE}.SelectModeAutomatic") == [0]
        assert await client.state(AUTOMATIC) == "Initialized"
        number = await client.node(f"{MACHINE}.CurrentState.Number").read_value()
        assert number == 4
        state = await client.node("SystemState").read_value()
        assert (state.State, state.StateDescription) == (2, "Initialized")


@pytest.mark.asyncio
async def test_continuous_execution_until_it_is_stopped(tmp_path: Path) -> None:
    why = ua.Variant(0, ua.VariantType.Int32), ua.Variant("", ua.VariantType.String)
    async with (
        running_station(tmp_path, continuous_ms=20) as station,
        connected(station, RESULT_READY, READY) as client,
    ):
        await client.prepare()
        job, code = await client.start("StartContinuous", part="P")
        assert code == 0
        assert await client.state(AUTOMATIC) == "ContinuousExecution"
        results = await client.hears(client.of(RESULT_READY), 4)
        assert await client.call(f"{AUTOMATIC}.Stop", *why) == [0]
        assert await client.state(AUTOMATIC) == "Ready"
        (ready,) = await client.hears(client.of(READY))
        assert ready.JobId == job
        assert {e.JobId.Id for e in results} == {job.Id}
        assert [e.PartId.Id for e in results[:4]] == ["P-1", "P-2", "P-3", "P-4"]
        assert len({e.ResultId.Id for e in results}) == len(results)
        assert (await client.start("StartContinuous", part="Q"))[1] == 0
        station.bus.feed.tell(_stop())
        await client.enters(AUTOMATIC, "Ready")
        assert (await client.start("StartContinuous"))[1] == -6
        assert await client.call(f"{MACHINE}.Reset", *why) == [0]
        assert await client.call(f"{MACHINE}.SelectModeAutomatic") == [0]
        await client.prepare()
        await until(lambda: not station.controller.asks_to_stop, what="the request is withdrawn")
        assert (await client.start("StartContinuous"))[1] == 0
