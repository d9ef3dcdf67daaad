"""A rollback restores every score, bit for bit."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image as pillow

from andon.learning.in_force import Stores, Wish, put_in_force
from andon.learning.versions import before
from serving.bundle_store import open_folder
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.teaching import LabelledPicture, teach
from serving.ray.replicas import ServeReplicas
from serving.ray.settings import VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.events import Inspection
from streams.ports import InspectionRequest
from tests.andon.learning.test_in_force import KeptLog
from tests.serving.experts.conftest import normals as normals
from tests.serving.experts.conftest import trained as trained
from tests.serving.experts.pictures import scratched, surface
from tests.serving.ray.local import served

pytestmark = pytest.mark.slow


def pictures() -> list[bytes]:
    found = []
    for picture in (surface(100), scratched(101), surface(102, 150), scratched(103, 120)):
        body = io.BytesIO()
        pillow.fromarray(picture).save(body, "PNG")
        found.append(body.getvalue())
    return found


async def judged(replica: VisionDeployment) -> list[tuple[object, ...]]:
    """All that the line gets of each picture: score, threshold, p-value and region."""
    requests = [InspectionRequest(uuid4(), "part", image) for image in pictures()]
    answers = unpack_inspections(await replica.score_many(pack_images(requests), 60.0))
    assert all(isinstance(answer, Inspection) for answer in answers)
    return [(a.score, a.threshold, a.p_value, a.region) for a in answers]


@asynccontextmanager
async def health_checks(replica: VisionDeployment) -> AsyncIterator[None]:
    """As Serve makes them, only more often."""

    async def check() -> None:
        while True:
            await replica.check_health()
            await asyncio.sleep(0.02)

    checking = asyncio.create_task(check())
    try:
        yield
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)


@pytest.mark.asyncio
async def test_a_rollback_restores_every_score_bit_for_bit(
    trained: ComposedExpert, tmp_path: Path
) -> None:
    root = tmp_path / "experts"
    first = save_artifact(trained, root)
    loaded = load_expert(root / "part" / first, "openvino", "f32", "cpu", 1)
    assert isinstance(loaded, ComposedExpert)
    shown = [LabelledPicture(scratched(700 + i), "scratch", None, f"p{i}") for i in range(3)]
    second = save_artifact(teach(loaded, shown), root)
    assert second != first
    stores = Stores(open_folder(root), open_folder(tmp_path / "exemplars"))
    stores.experts.point("part", first)
    log = KeptLog()
    settings = VisionSettings(follow_s=0.01, runtime="openvino", precision="f32")
    replica = VisionDeployment(settings, lambda: open_folder(root))
    await replica.reconfigure({"products": "latest"})
    try:
        async with served(replica) as address, health_checks(replica):
            replicas = ServeReplicas(address)

            async def use(version: str) -> list[tuple[object, ...]]:
                wish = Wish("part", version, None, "Ada", "")
                await put_in_force(wish, stores, log, replicas, 120, lambda words: None)
                return await judged(replica)

            was = await judged(replica)
            taught = await use(second)
            assert [a[0] for a in taught] != [a[0] for a in was]
            assert await use(before(log.rows, "part")[0]) == was
            await replicas.close()
    finally:
        await replica.close()
