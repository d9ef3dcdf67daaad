"""The versions of the experts as the console shows them. Implements ``ModelVersions``."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import cv2

from andon.learning.catalogue import read_versions
from andon.learning.changing import open_stores, point_shadow, roll_back, use_version
from andon.learning.manifests import described_detail
from andon.settings import Settings
from andon.wiring import opened, storage
from console.model_versions import ModelError, VersionChange, VersionDetail
from history.model_log import DayOfUse, ModelChange, ShadowCount
from serving.bundles import BundleError, read_file
from serving.expert_versions import Version
from serving.experts.training_set import TRAINING, TrainingSet
from streams.errors import AndonError
from streams.names import key_of

LOOK_S: Final = 2.0
"""How long the replicas may take to answer a page, seconds."""
USE_SPAN: Final = timedelta(days=14)
"""How far back the days of a version are counted."""
SHADOW_SPAN: Final = timedelta(days=30)


class ShownVersions:
    """Versions of the settings' stores, audit and replicas."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stores = open_stores(settings)
        self._changes: dict[str, VersionChange] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def products(self) -> Mapping[str, str]:
        damaged: dict[str, str] = {}
        found = await asyncio.to_thread(self._stores.experts.products, damaged)
        return {key_of(product): product for product in (*found, *damaged)}

    async def versions(self, product: str | None) -> tuple[Sequence[Version], Sequence[str]]:
        return await read_versions(self._settings, self._stores, product, LOOK_S)

    async def detail(self, product: str, digest: str) -> VersionDetail:
        known = await asyncio.to_thread(self._stores.experts.versions, product)
        if digest not in known:
            raise ModelError(f"{product} has no version {digest[:12]}")
        (found, unknown), manifest = await asyncio.gather(
            self.versions(product),
            asyncio.to_thread(self._stores.experts.manifest, product, digest),
        )
        version = next(version for version in found if version.digest == digest)
        missing = list(unknown)
        changes, shadows, days = await self._recorded(product, digest, missing)
        return described_detail(version, manifest, changes, shadows, days, missing)

    async def odd_picture(self, product: str, digest: str, row: int) -> bytes:
        return await asyncio.to_thread(self._odd_picture, product, digest, row)

    def use(self, product: str, digest: str, by: str, reason: str) -> VersionChange:
        running = self._changes.get(product)
        if running is not None and running.running:
            raise ModelError(f"{product}: another version is being put in force; wait for it")
        begun = VersionChange(product=product, to=digest, by=by, began_at=datetime.now(UTC))
        self._changes[product] = begun
        self._tasks[product] = asyncio.create_task(self._use(begun, reason))
        return begun

    def change(self, product: str) -> VersionChange | None:
        return self._changes.get(product)

    async def shadow(self, product: str, digest: str | None) -> None:
        await asyncio.to_thread(point_shadow, self._stores.experts, product, digest)

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _use(self, begun: VersionChange, reason: str) -> None:
        def tell(words: str) -> None:
            self._changes[begun.product] = begun.model_copy(update={"said": words})

        error = ""
        try:
            if begun.to:
                await use_version(
                    self._settings, begun.product, begun.to, begun.by, reason, tell=tell
                )
            else:
                await roll_back(self._settings, begun.product, begun.by, reason, tell=tell)
        except AndonError as failure:
            error = str(failure)
        over = {"running": False, "error": error}
        self._changes[begun.product] = self._changes[begun.product].model_copy(update=over)

    async def _recorded(
        self, product: str, digest: str, missing: list[str]
    ) -> tuple[Sequence[ModelChange], Sequence[ShadowCount], Sequence[DayOfUse]]:
        """What the database knows of a version."""
        now = datetime.now(UTC)
        try:
            async with opened(storage.model_log, self._settings) as log:
                changes = await log.changes(product, 1000)
                shadows = await log.shadows(now - SHADOW_SPAN, product)
                days = await log.days(product, now - USE_SPAN)
        except AndonError as error:
            missing.append(f"what was recorded of it: {error}")
            return [], [], []
        return (
            [change for change in changes if digest in (change.to_expert, change.from_expert)],
            [count for count in shadows if count.expert_version == digest],
            [day for day in days if day.expert_version == digest],
        )

    def _odd_picture(self, product: str, digest: str, row: int) -> bytes:
        folder = self._stores.experts.fetch(product, digest)
        stated = self._stores.experts.manifest(product, digest).get("training_sha256")
        if not isinstance(stated, str):
            raise ModelError(f"{product} {digest[:12]} was saved without its normals")
        try:
            kept = TrainingSet.unpacked(read_file(folder / TRAINING, stated))
        except BundleError as error:
            raise ModelError(str(error)) from None
        if not 0 <= row < len(kept.files):
            raise ModelError(f"{product} {digest[:12]}: there is no normal {row}")
        tiles = kept.tiles
        pixels = kept.pixels[row * tiles]
        done, body = cv2.imencode(".png", pixels[:, :, ::-1])
        if not done:
            raise ModelError("this picture cannot be shown")
        return bytes(body)
