"""Damage of one product, and what killed writers leave, cost no other product anything."""

import os
import time
from pathlib import Path

import pytest

from serving.bundle_store import open_folder
from serving.bundles import ABANDONED_S
from serving.errors import DamagedPointerError
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.settings import ClassifierArguments, VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from tests.serving.ray.tiny import CLASSIFIER, LOADER, save_tiny

Replica = VisionDeployment | ClassifierDeployment
ODD_NAME = "AB/12 ö"


def made(root: Path, kind: str) -> Replica:
    """A replica that follows the store, each with a cache of its own."""
    if kind == "vision":
        settings = VisionSettings(loader=LOADER, batch=1, batch_wait_ms=1, follow_s=0.001)
        return VisionDeployment(settings, lambda: open_folder(root))
    arguments = ClassifierArguments(kind=CLASSIFIER, follow_s=0.001)
    return ClassifierDeployment(arguments, lambda: open_folder(root))


async def followed(replica: Replica) -> dict[str, object]:
    """What the replica says after one more look at the store."""
    while replica._following is None or not replica._following.done():
        await replica.check_health()
        if replica._following is not None:
            await replica._following
    replica._following = None
    return await replica.status()


@pytest.mark.parametrize("product", ["cloth", ODD_NAME])
def test_products_are_listed_beside_a_damaged_pointer(tmp_path: Path, product: str) -> None:
    digest = save_tiny(tmp_path, "tile")
    save_tiny(tmp_path, product)
    store = open_folder(tmp_path)
    store.point(product, save_tiny(tmp_path, product, note="two"))
    (pointer,) = tmp_path.glob("*/latest.json")
    pointer.write_bytes(b"")  # as a power cut leaves a file
    damaged: dict[str, str] = {}
    assert store.products(damaged) == {"tile": digest}
    assert list(damaged) == [product]
    assert "andon models use" in damaged[product]
    with pytest.raises(DamagedPointerError, match="damaged"):
        store.products()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["vision", "classifier"])
async def test_a_damaged_pointer_stops_no_other_product(tmp_path: Path, kind: str) -> None:
    """A new replica did not begin at all, and those that ran followed nothing any more."""
    config = {"products" if kind == "vision" else "exemplars": "latest"}
    cloth, tile = save_tiny(tmp_path, "cloth"), save_tiny(tmp_path, "tile")
    running, fresh = made(tmp_path, kind), made(tmp_path, kind)
    try:
        await running.reconfigure(config)
        (tmp_path / "cloth" / "latest.json").write_text("[]")
        (tmp_path / ".served.json").unlink()
        second = save_tiny(tmp_path, "tile", note="two")
        open_folder(tmp_path).point("tile", second)
        for _ in range(13):  # looks at the pointers alone, and one at the whole store
            status = await followed(running)
            assert status["versions"] == {"cloth": cloth, "tile": second}
            assert "latest.json is damaged" in status["problems"]["cloth"]  # type: ignore[index]
        (tmp_path / ".served.json").unlink()
        await fresh.reconfigure(config)
        status = await fresh.status()
        assert status["versions"] == {"tile": second}
        assert "latest.json is damaged" in status["problems"]["cloth"]  # type: ignore[index]
        open_folder(tmp_path).point("cloth", cloth)
        assert (await followed(running))["problems"] == {}
        assert tile != second
    finally:
        await running.close()
        await fresh.close()


def test_what_a_killed_writer_left_is_removed_once_nobody_can_be_writing_it(
    tmp_path: Path,
) -> None:
    save_tiny(tmp_path, "tile")
    folder = tmp_path / "tile"
    (folder / ".new-killed").mkdir()
    (folder / ".new-killed" / "tensors.safetensors").write_bytes(b"half")
    (folder / ".fetch-killed").mkdir()
    (folder / ".new-pointer").write_bytes(b"{")
    (folder / ".new-now").mkdir()
    before = time.time() - ABANDONED_S - 60
    for name in (".new-killed", ".fetch-killed", ".new-pointer"):
        os.utime(folder / name, (before, before))
    digest = save_tiny(tmp_path, "tile", note="two")
    assert {path.name for path in folder.glob(".*")} == {".new-now"}
    assert (folder / digest).is_dir()
