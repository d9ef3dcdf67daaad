"""The expert of the benchmark of recipes: a replica of Serve's in this process, without Ray.

The bundle store, the look for what is in force, the loading and the warming up are the product's;
only the scoring is played.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from connectors.cameras import SyntheticCamera
from serving.bundle_store import open_folder
from serving.bundles import write_bundle
from serving.experts.types import Image, Scored
from serving.ray.replicas import ApplicationStatus, ReplicaStatus, warm_version
from serving.ray.settings import VISION, VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest, Trigger

LOADER = f"{__name__}:load_played"
SCORE_S = 0.005


def save_played(root: Path, product: str, load_s: float) -> str:
    """Write a bundle that takes ``load_s`` seconds to load; its digest, put in force."""
    body = json.dumps({"product": product, "load_s": load_s}).encode()
    version = write_bundle(root, product, {"manifest.json": body}).name
    open_folder(root).point(product, version)
    return version


class PlayedExpert:
    """Every picture is normal, after a while."""

    name = "played"
    bit_depth: int | None = None
    memory_bytes = 0

    def __init__(self, product: str, version: str) -> None:
        self.product, self.version = product, version

    def score(self, images: Sequence[Image], maps: bool = True) -> list[Scored]:
        """The same answer for each."""
        time.sleep(SCORE_S * len(images))
        return [
            Scored(0.5, 1.0, 0.5, False, None, None, image.shape[0], image.shape[1])
            for image in images
        ]


def load_played(path: Path, **options: object) -> PlayedExpert:
    """The loader behind ``vision.loader``."""
    manifest = json.loads((path / "manifest.json").read_text())
    time.sleep(float(manifest["load_s"]))
    return PlayedExpert(str(manifest["product"]), path.name)


class ReplicaHere:
    """``VisionExpert`` over one replica in this event loop.

    Args:
        store: folder of the bundles.
        slow_s: an answer takes up to so many seconds more, drawn anew for each call.
        seed: of what is drawn.
    """

    def __init__(self, store: Path, slow_s: float, seed: int) -> None:
        settings = VisionSettings(loader=LOADER, batch=1, batch_wait_ms=1)
        self._replica = VisionDeployment(settings, lambda: open_folder(store))
        self._slow_s, self._rng = slow_s, random.Random(seed)

    async def start(self) -> None:
        """Load what is in force, and the decoder of pictures with the first of them."""
        await self._replica.reconfigure({"products": "latest"})
        camera = SyntheticCamera(size=32)
        picture = await camera.capture(Trigger(1, 1, "", "", "", 0, 0))
        await self.inspect([InspectionRequest(uuid4(), "small", picture.data)], 60.0)

    async def close(self) -> None:
        """Drop what waits."""
        await self._replica.close()

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        """As the port says."""
        await asyncio.sleep(self._rng.uniform(0.0, self._slow_s))
        return unpack_inspections(await self._replica.score_many(pack_images(requests), timeout_s))

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        """As the port says."""
        held = await self._replica.warm(product_id, station)
        replica = ReplicaStatus.model_validate({**held, "deployment": VISION})
        status = ApplicationStatus(replicas=[replica], expected={VISION: 1})
        return warm_version(status, product_id, version)
