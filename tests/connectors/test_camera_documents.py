"""Every example of docs/cameras.md is read by the settings; the station of several takes a part."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from connectors.cameras.station import station_cameras
from connectors.errors import CameraSpecError
from connectors.settings import GatewaySettings
from lab.cameras.network import NetworkCamera
from lab.plc.controller import PlcConfig
from lab.plc.plan import PlannedPart
from tests.connectors.line import running_line
from tests.connectors.test_camera_normals import LIMITS
from tests.waiting import until

PAGE = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
STATION = next(text for text in EXAMPLES if "[[gateway.shots]]" in text)


@pytest.fixture
def twins() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("text", EXAMPLES, ids=[text.strip()[:40] for text in EXAMPLES])
def test_every_example_makes_its_cameras(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("normals").mkdir()
    for name in re.findall(r"normals/[a-z-]+\.json", text):
        Path(name).write_text(LIMITS.to_json())
    gateway = GatewaySettings.model_validate(tomllib.loads(text)["gateway"])
    assert len(station_cameras(gateway)) == max(len(gateway.shots), 1)


@pytest.mark.asyncio
async def test_the_station_of_several_cameras_takes_every_shot(
    twins: ExitStack, tmp_path: Path
) -> None:
    """Its network cameras are played; the GigE camera, which has no twin with a line, is a file."""
    top, side = (twins.enter_context(NetworkCamera(50, 0.01)) for _ in range(2))
    played = re.sub(r"opencv:rtsp://[^\"]*", f"opencv:{top.stream}", STATION)
    played = re.sub(r"snapshot:http[^\"]*", f"snapshot:{side.snapshot}", played)
    played, count = re.subn(r"aravis:[^\"]*", "synthetic:seed=1,size=64", played)
    assert count == 1
    gateway = {**tomllib.loads(played)["gateway"], "result_window_ms": 10_000}
    for shot in gateway["shots"]:
        shot.pop("camera_features", None)
    config = GatewaySettings.model_validate(gateway)
    plc = PlcConfig(takt_s=1.0, window_s=10.0, heartbeat_missed=100)
    eyes = station_cameras(config)
    async with running_line(tmp_path, plc, config=config, cameras=eyes) as line:
        await line.start_gateway()
        await line.plc.trigger(PlannedPart(part_id="the part", product_id="demo"))
        await until(lambda: len(line.bus.frames) == len(config.shots), 20)
        names = {frame.shot_name for frame in line.bus.frames}
    assert names == {shot.name for shot in config.shots}


def test_one_camera_cannot_stand_in_two_ways() -> None:
    shots = [{"name": "a", "camera_features": {"Gain": 1}}, {"name": "b"}]
    gateway = GatewaySettings.model_validate({"camera": "aravis:1", "shots": shots})
    with pytest.raises(CameraSpecError, match="shots 'a' and 'b' share a camera"):
        station_cameras(gateway)
