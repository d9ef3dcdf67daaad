"""A version that is still being copied into the store, or is damaged there."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from serving.bundle_store import SHADOW, BundleStore, open_folder
from serving.bundles import write_bundle
from serving.naming.teaching import Lesson, teach_product
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.settings import ClassifierArguments, VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from tests.serving.ray.tiny import TinyClassifier, TinyExpert, load_tiny, save_tiny

LOADER = f"{__name__}:load_with_tensors"


def load_with_tensors(path: Path, **options: object) -> TinyExpert:
    """A tiny artifact whose tensors are a file beside the manifest, as of a real one."""
    (path / "tensors.bin").read_bytes()
    return load_tiny(path)


def save_with_tensors(root: Path, note: str) -> str:
    """Write such an artifact folder; its digest."""
    stated = {"product": "tile", "threshold": 0.5, "delay_s": 0.0, "note": note}
    files = {"manifest.json": json.dumps(stated).encode(), "tensors.bin": b"tensors"}
    return write_bundle(root, "tile", files).name


def vision(root: Path) -> VisionDeployment:
    """A replica that follows the store, shadows too."""
    settings = VisionSettings(
        loader=LOADER, batch=1, batch_wait_ms=1, follow_s=0.001, shadow_share=1.0
    )
    return VisionDeployment(settings, lambda: open_folder(root))


@contextlib.asynccontextmanager
async def following(root: Path) -> AsyncIterator[tuple[BundleStore, VisionDeployment, str, str]]:
    """A store of two versions, the first in force, the replica that follows it, and both."""
    store = open_folder(root)
    one, two = (save_with_tensors(root, note) for note in "12")
    store.point("tile", one)
    replica = vision(root)
    await replica.reconfigure({"products": "latest"})
    try:
        yield store, replica, one, two
    finally:
        await replica.close()


async def comes_to(
    replica: VisionDeployment | ClassifierDeployment, is_so: Callable[[dict[str, object]], object]
) -> None:
    """Health checks go on, as Serve makes them, until the replica says so."""
    async with asyncio.timeout(30):
        while not is_so(await replica.status()):
            await replica.check_health()
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ["versions", "shadows"])
async def test_an_expert_is_taken_once_its_copy_is_complete(tmp_path: Path, place: str) -> None:
    async with following(tmp_path) as (store, replica, one, two):
        tensors = tmp_path / "tile" / two / "tensors.bin"
        tensors.unlink()  # copied in the order of names, the manifest comes first
        store.point("tile", two, SHADOW if place == "shadows" else "latest.json")
        await comes_to(replica, lambda said: "No such file" in str(said["problems"]))
        await comes_to(replica, lambda said: said["versions"] == {"tile": one})
        tensors.write_bytes(b"tensors")
        await comes_to(replica, lambda said: said[place] == {"tile": two})
        assert (await replica.status())["problems"] == {}


@pytest.mark.asyncio
async def test_a_shadow_that_was_stopped_may_begin_again(tmp_path: Path) -> None:
    async with following(tmp_path) as (store, replica, _, two):
        for _ in range(2):
            store.point("tile", two, SHADOW)
            await comes_to(replica, lambda said: said["shadows"] == {"tile": two})
            store.point("tile", None, SHADOW)
            await comes_to(replica, lambda said: said["shadows"] == {})


@pytest.mark.asyncio
async def test_a_shadow_that_cannot_be_loaded_stays_a_problem(tmp_path: Path) -> None:
    async with following(tmp_path) as (store, replica, _, two):
        (tmp_path / "tile" / two / "tensors.bin").unlink()
        store.point("tile", two, SHADOW)
        for _ in range(3):
            await asyncio.to_thread(replica._models.follow)
            assert "No such file" in str((await replica.status())["problems"])


def lesson(class_name: str, seed: int) -> Lesson:
    """A picture of noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
    return Lesson(class_name, cv2.imencode(".png", noise)[1].tobytes())


@pytest.mark.asyncio
async def test_one_product_s_damaged_exemplars_cost_no_other_product_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "serving.ray.classifier_deployment.build_classifier",
        lambda kind, options, bundles, replicas: TinyClassifier(0.0, bundles),
    )
    settings = ClassifierArguments(kind="prototypes", follow_s=0.001)

    def made() -> ClassifierDeployment:
        return ClassifierDeployment(settings, lambda: open_folder(tmp_path))

    tile, cloth = (
        teach_product(tmp_path, product, [lesson("crack", seed)]).name
        for seed, product in enumerate(("tile", "cloth"))
    )
    actor, again = made(), made()
    try:
        await actor.reconfigure(None)
        damaged = teach_product(tmp_path, "cloth", [lesson("hole", 2)])
        (picture,) = (damaged / "images").iterdir()
        body = picture.read_bytes()
        picture.unlink()
        await comes_to(actor, lambda said: "it goes on with" in str(said["problems"]))
        taught = teach_product(tmp_path, "tile", [lesson("hole", 3)]).name
        await comes_to(actor, lambda said: said["versions"] == {"tile": taught, "cloth": cloth})
        await again.reconfigure(None)  # a replica that starts anew
        status = await again.status()
        assert status["versions"] == {"tile": taught, "cloth": cloth}
        assert "cannot be read" in str(status["problems"])
        picture.write_bytes(body)
        whole = {"tile": taught, "cloth": damaged.name}
        await comes_to(actor, lambda said: said["versions"] == whole)
        assert tile != taught
    finally:
        await actor.close()
        await again.close()


@pytest.mark.asyncio
async def test_a_store_that_cannot_be_looked_at_is_a_problem_until_it_can(tmp_path: Path) -> None:
    settings = ClassifierArguments(kind="tests.serving.ray.tiny:build_tiny", follow_s=0.001)
    actor = ClassifierDeployment(settings, lambda: open_folder(tmp_path))
    digest = save_tiny(tmp_path)
    try:
        await actor.reconfigure(None)
        (tmp_path / "tile" / "latest.json").write_text("[]")
        await comes_to(actor, lambda said: "latest.json is damaged" in str(said["problems"]))
        (tmp_path / "tile" / "latest.json").unlink()
        await comes_to(actor, lambda said: said["problems"] == {})
        assert (await actor.status())["versions"] == {"tile": digest}
    finally:
        await actor.close()
