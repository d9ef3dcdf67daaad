"""The vision server where something fails: a camera, a silent line, a fault that stops nothing."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from connectors.cameras import SyntheticCamera
from connectors.errors import CaptureError
from connectors.handshake.signals import Signal
from connectors.vision.node_table import children
from streams.codes import FaultCode
from streams.events import Alert, Frame
from streams.ports import Picture, Trigger
from tests.connectors.line import MemoryBus
from tests.connectors.vision.station import (
    AUTOMATIC,
    DIAGNOSTIC,
    ERROR,
    INFORMATION,
    MACHINE,
    RESOLVED,
    RESULT_READY,
    VISION_EVENT,
    connected,
    running_station,
)


class FailingCamera(SyntheticCamera):
    """Fails while it is told to."""

    fails = False

    async def open(self) -> None:
        if self.fails:
            raise CaptureError("the cable is out")
        await super().open()

    async def capture(self, trigger: Trigger) -> Picture:
        if self.fails:
            raise CaptureError("the cable is out")
        return await super().capture(trigger)


@pytest.mark.asyncio
async def test_what_is_not_decided_is_a_failed_result_and_a_fault_is_the_error_state(
    tmp_path: Path,
) -> None:
    camera = FailingCamera(size=32)
    kinds = (RESULT_READY, ERROR, RESOLVED)
    async with (
        running_station(tmp_path, camera) as station,
        connected(station, *kinds) as client,
    ):
        await client.prepare()
        camera.fails = True
        for number in range(1, 4):
            _, code = await client.start(part=f"P-{number}")
            assert code == 0
            await client.hears(client.of(RESULT_READY), number)
            if number < 3:
                await client.enters(AUTOMATIC, "Ready")
        await client.enters(MACHINE, "Error")
        assert await client.state(AUTOMATIC) == "BadStateNotActive"
        (error,) = await client.hears(client.of(ERROR))
        assert (error.Message.Text, error.ToState.Text) == ("fault 1 CAMERA", "Error")
        results = [e for e in client.seen.events if client.of(RESULT_READY)(e)]
        assert [e.ResultState for e in results] == [4, 4, 4]
        assert {e.ResultContent[0].Value for e in results} == {"hold"}
        camera.fails = False
        await client.enters(AUTOMATIC, "Ready")  # its recipe is prepared still
        await client.hears(client.of(RESOLVED))


def _stop() -> Alert:
    return Alert(
        alert_id=uuid4(),
        line="line1",
        product_id="demo",
        limit="many",
        reason="too many",
        request_stop=True,
        raised_at=datetime.now(UTC),
    )


@pytest.mark.asyncio
async def test_every_job_of_a_silent_line_is_held_once(tmp_path: Path) -> None:
    """Nobody answers a frame: the gateway's watchdog decides, or the controller by default."""
    bus = MemoryBus()

    async def nobody(_: Frame) -> None:
        return None

    bus.answer = nobody
    async with (
        running_station(tmp_path, bus=bus, window_ms=300) as station,
        connected(station, RESULT_READY, DIAGNOSTIC) as client,
    ):
        await client.prepare()
        for number in range(1, 4):
            assert (await client.start())[1] == 0
            await client.hears(client.of(RESULT_READY), number)
            await client.enters(AUTOMATIC, "Ready")
        results = [e for e in client.seen.events if client.of(RESULT_READY)(e)]
        sources = {e.ResultContent[4].Value for e in results}
        assert sources <= {"watchdog", ""}  # on a machine that is busy the default may be first
        assert [e.ResultState for e in results] == [4] * 3
        assert len({e.ResultId.Id for e in results}) == 3
        told = await client.hears(client.of(DIAGNOSTIC), 3)
        assert [e.ResultId.Id for e in told] == [e.ResultId.Id for e in results]
        for event, result in zip(told, results, strict=True):
            assert event.CausePath in ("watchdog", "nobody")
            for row in children(str(VISION_EVENT)):
                assert getattr(event, row.plain_name) is not None, row.plain_name
            assert (event.PartId.Id, event.Severity) == (result.PartId.Id, 50)


@pytest.mark.asyncio
async def test_what_jobs_go_on_with_is_information(tmp_path: Path) -> None:
    """A fault that stops nothing, and a limit that asks to stop: both when they come and go."""
    async with running_station(tmp_path) as station, connected(station, INFORMATION) as client:
        await client.prepare()
        known = len(client.seen.events)
        small = FaultCode.FOLLOWER
        for fault, stop in ((small, False), (small, True), (FaultCode.NONE, False)):
            shown = {Signal.FAULT_CODE: int(fault), Signal.STOP_REQUEST: stop}
            station.controller.values |= shown
            station.controller.tell.status()
        told = (await client.hears(client.of(INFORMATION), known + 4))[known:]
        assert [(e.CausePath, e.Message.Text) for e in told] == [
            ("gateway", "fault 8 FOLLOWER"),
            ("limits", "a limit asks the line to stop"),
            ("gateway", "fault 8 FOLLOWER is over"),
            ("limits", "a limit no longer asks the line to stop"),
        ]
        assert {(e.SourceName, e.Severity) for e in told} == {("Andon", 100)}
        assert await client.state(AUTOMATIC) == "Ready"
