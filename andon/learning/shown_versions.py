"""The versions of the experts as the console shows them. Implements ``ModelVersions``."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import cv2

from andon.learning.catalogue import read_versions
from andon.learning.changing import WAIT_S, open_stores, point_shadow, put, wish_back, wish_for
from andon.learning.errors import LearningError
from andon.learning.in_force import Wish
from andon.learning.manifests import described_detail
from andon.settings import Settings
from andon.wiring import opened, storage
from console.model_requests import VersionPair
from console.model_versions import ExemplarsKept, ModelError, VersionChange, VersionDetail
from history.model_log import DayOfUse, ModelChange, ShadowCount
from serving.bundle_store import BundleStore
from serving.bundles import BundleError, read_file
from serving.errors import DamagedPointerError
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

    async def exemplars(self, product: str) -> Sequence[ExemplarsKept]:
        return await asyncio.to_thread(self._exemplars, product)

    async def in_force(self, product: str) -> VersionPair:
        return await asyncio.to_thread(self._in_force, product)

    async def meant(self, product: str, digest: str, exemplars: str | None) -> VersionPair:
        try:
            if digest:
                wish = await wish_for(
                    self._settings, self._stores, product, digest, "", "", exemplars
                )
            else:
                wish = await wish_back(self._settings, product, "", "")
        except LearningError as error:
            raise ModelError(str(error)) from None
        return VersionPair(expert=wish.expert, exemplars=wish.exemplars)

    def use(self, product: str, wanted: VersionPair, by: str, reason: str) -> VersionChange:
        running = self._changes.get(product)
        if running is not None and running.running:
            raise ModelError(f"{product}: another version is being put in force; wait for it")
        begun = VersionChange(
            product=product,
            to=wanted.expert,
            exemplars=wanted.exemplars,
            by=by,
            began_at=datetime.now(UTC),
        )
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
            wish = Wish(begun.product, begun.to, begun.exemplars, begun.by, reason)
            await put(self._settings, self._stores, wish, WAIT_S, tell)
        except AndonError as failure:
            error = str(failure)
        over = {"running": False, "error": error}
        self._changes[begun.product] = self._changes[begun.product].model_copy(update=over)

    def _exemplars(self, product: str) -> list[ExemplarsKept]:
        store = self._stores.exemplars
        now, kept = _digest_in_force(store, product), store.versions(product)
        return [
            ExemplarsKept(
                digest=digest,
                written_at=datetime.fromtimestamp(written_s, UTC),
                in_force=digest == now,
            )
            for digest, written_s in sorted(kept.items(), key=lambda item: -item[1])
        ]

    def _in_force(self, product: str) -> VersionPair:
        return VersionPair(
            expert=_digest_in_force(self._stores.experts, product),
            exemplars=_digest_in_force(self._stores.exemplars, product) or None,
        )

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


def _digest_in_force(store: BundleStore, product: str) -> str:
    """Empty where there is none, or a damaged pointer does not say which."""
    try:
        return store.in_force(product) or ""
    except DamagedPointerError:
        return ""
