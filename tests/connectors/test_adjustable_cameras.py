"""Cameras that are given other features while they are open, as a recipe asks."""

import asyncio
import contextlib
from collections.abc import Mapping

import pytest

from connectors.cameras import open_camera
from connectors.cameras.adjustable import Adjustable, Feature, FeaturedCamera, adjusted
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CameraLostError, CaptureError
from streams.ports import Picture, Trigger
from tests.connectors.test_cameras import trigger
from tests.contracts.twins.camera import InMemoryCamera

pytestmark = pytest.mark.asyncio


class Made(InMemoryCamera):
    """A camera of some features that notes whether it is open; ``Bad`` is refused at opening."""

    broken = False

    def __init__(self, features: Mapping[str, Feature]) -> None:
        super().__init__()
        self.features, self.is_open = dict(features), False
        if "Wire" in features:
            raise CaptureError("Wire: cannot be")

    async def open(self) -> None:
        if "Bad" in self.features or Made.broken:
            raise CaptureError("Bad: not writable")
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def capture(self, trigger: Trigger) -> Picture:
        assert self.is_open
        return Picture(repr(self.features).encode(), "image/png")


async def shown(camera: FeaturedCamera) -> dict[str, Feature]:
    return dict(eval((await camera.capture(trigger(1))).data))


async def test_features_come_on_top_of_the_settings_and_go_with_the_next() -> None:
    camera = FeaturedCamera(Made, {"Exposure": 1, "Gain": 1})
    await camera.open()
    assert isinstance(camera, Adjustable)
    await camera.adjust({"Gain": 2})
    assert await shown(camera) == {"Exposure": 1, "Gain": 2}
    await camera.adjust({})
    assert await shown(camera) == {"Exposure": 1, "Gain": 1}


@pytest.mark.parametrize("feature", ["Bad", "Wire"])
async def test_a_refused_feature_leaves_the_camera_open_as_it_was(feature: str) -> None:
    camera = FeaturedCamera(Made, {"Gain": 1})
    await camera.open()
    with pytest.raises(CaptureError, match=feature):
        await camera.adjust({feature: 2})
    assert await shown(camera) == {"Gain": 1}


class Watched(Made):
    """It finds out by itself that it is gone, and that it was closed."""

    def __init__(self, features: Mapping[str, Feature]) -> None:
        super().__init__(features)
        self.gone = asyncio.Event()

    async def close(self) -> None:
        await super().close()
        self.gone.set()
        self.gone = asyncio.Event()

    async def lost(self) -> str:
        await self.gone.wait()
        return "gone"


@pytest.mark.parametrize("features", [{"Bad": 2}, {"Gain": 2}])
async def test_a_camera_that_is_closed_for_other_features_is_not_lost(
    features: dict[str, Feature],
) -> None:
    """After a refused recipe it was a fault, and opened once more."""
    camera = FeaturedCamera(Watched, {"Gain": 1})
    await camera.open()
    lost = asyncio.create_task(camera.lost())
    await asyncio.sleep(0)
    with contextlib.suppress(CaptureError):
        await camera.adjust(features)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not lost.done()
    assert isinstance(camera._inner, Watched)
    camera._inner.gone.set()
    assert await lost == "gone"


async def test_a_camera_that_does_not_come_back_is_a_fault_and_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults: list[bool] = []
    camera = FeaturedCamera(Made, {"Gain": 1})
    supervised = SupervisedCamera(camera, 1.0, faults.append)
    await camera.open()
    monkeypatch.setattr(Made, "broken", True)
    with pytest.raises(CameraLostError, match="opening it as before"):
        await supervised.adjust({"Gain": 2})
    assert faults == [True]
    monkeypatch.setattr(Made, "broken", False)
    await camera.open()
    assert await shown(camera) == {"Gain": 1}


async def test_the_synthetic_camera_has_its_options_as_features() -> None:
    camera = open_camera("synthetic:seed=1,size=32")
    await camera.open()
    before = await camera.capture(trigger(1))
    await adjusted(camera, {"seed": 2})
    after = await camera.capture(trigger(1))
    assert (before.name, after.name) == ("synthetic-1-000001.png", "synthetic-2-000001.png")
    await adjusted(camera, {})
    assert (await camera.capture(trigger(1))).data == before.data
    for wrong in ({"Gain": 1}, {"seed": "x"}, {"size": 1}):
        with pytest.raises(CaptureError, match="synthetic"):
            await adjusted(camera, wrong)


async def test_a_camera_without_features_refuses_only_a_recipe_that_names_some() -> None:
    camera = InMemoryCamera()
    await adjusted(camera, {})
    with pytest.raises(CaptureError, match="Gain cannot be set"):
        await adjusted(camera, {"Gain": 1})
