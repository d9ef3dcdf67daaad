"""A replica whose memory holds a few of its products: the others are loaded when asked for."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
import pytest_asyncio

from serving.bundle_store import BundleStore, open_folder
from serving.ray.models import ModelSet
from serving.ray.settings import VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.codes import ReasonCode
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from tests.serving.ray.tiny import LOADER, picture, save_tiny

PRODUCTS = [f"product-{i:02d}" for i in range(40)]
FIT = 16
"""Tiny experts take 1 MiB each."""


@pytest_asyncio.fixture
async def replica(tmp_path: Path) -> AsyncIterator[VisionDeployment]:
    for i, product in enumerate(PRODUCTS):
        save_tiny(tmp_path, product, note=str(i))
    settings = VisionSettings(loader=LOADER, batch=4, batch_wait_ms=1, heads_mib=FIT)
    made = VisionDeployment(settings, lambda: open_folder(tmp_path))
    await made.reconfigure({"products": "latest"})
    yield made
    await made.close()


async def ask(replica: VisionDeployment, *products: str) -> list[Inspection | Failure]:
    requests = [InspectionRequest(uuid4(), product, picture(0)) for product in products]
    return unpack_inspections(await replica.score_many(pack_images(requests), 10.0))


async def in_memory(replica: VisionDeployment) -> list[str]:
    return cast(list[str], (await replica.status())["in_memory"])


async def versions(replica: VisionDeployment) -> dict[str, str]:
    return cast(dict[str, str], (await replica.status())["versions"])


@pytest.mark.asyncio
async def test_parts_of_all_products_in_any_order_get_their_own_experts(
    replica: VisionDeployment,
) -> None:
    known = await versions(replica)
    assert sorted(known) == PRODUCTS
    order = PRODUCTS * 2
    random.Random(1).shuffle(order)
    for i in range(0, len(order), 8):
        for product, answer in zip(
            order[i : i + 8], await ask(replica, *order[i : i + 8]), strict=True
        ):
            assert isinstance(answer, Inspection)
            assert answer.expert_version == known[product]
        assert len(await in_memory(replica)) <= FIT


@pytest.mark.asyncio
async def test_a_product_is_loaded_once_however_many_frames_wait(
    replica: VisionDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    load = ModelSet._open
    monkeypatch.setattr(ModelSet, "_open", lambda self, p, v: opened.append(p) or load(self, p, v))
    (cold, *_) = [p for p in PRODUCTS if p not in await in_memory(replica)]
    answers = await asyncio.gather(*(ask(replica, cold, cold) for _ in range(4)))
    assert all(isinstance(a, Inspection) for found in answers for a in found)
    assert opened == [cold]


@pytest.mark.asyncio
async def test_a_stations_product_stays_in_memory(replica: VisionDeployment) -> None:
    (product, other, *_) = [p for p in PRODUCTS if p not in await in_memory(replica)]
    assert (await replica.warm(product, "line/station"))["held"] == [product]
    for name in PRODUCTS:
        await ask(replica, name)
    assert product in await in_memory(replica)
    await replica.warm(other, "line/station")
    for name in PRODUCTS:
        if name != product:
            await ask(replica, name)
    found = await in_memory(replica)
    assert other in found
    assert product not in found


@pytest.mark.asyncio
async def test_a_product_damaged_since_fails_its_own_frames_until_it_is_mended(
    replica: VisionDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cold, *_) = [p for p in PRODUCTS if p not in await in_memory(replica)]
    (artifact,) = (path for path in (tmp_path / cold).iterdir() if path.is_dir())
    shutil.move(artifact, tmp_path / "away")
    warm = (await in_memory(replica))[-1]
    failed, fine, unknown = await ask(replica, cold, warm, "nobody's")
    assert isinstance(fine, Inspection)
    for answer in (failed, unknown):
        assert isinstance(answer, Failure)
        assert answer.reason_code is ReasonCode.NO_ARTIFACT
    problems = cast(dict[str, str], (await replica.status())["problems"])
    assert list(problems) == [cold]
    shutil.move(tmp_path / "away", artifact)
    (soon,) = await ask(replica, cold)
    assert isinstance(soon, Failure)
    monkeypatch.setattr("serving.ray.models.AGAIN_S", 0.0)
    (mended,) = await ask(replica, cold)
    assert isinstance(mended, Inspection)
    assert (await replica.status())["problems"] == {}


@pytest.mark.asyncio
async def test_a_version_put_in_force_serves_at_once_though_the_product_is_not_in_memory(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    (cold, *_) = [p for p in PRODUCTS if p not in await in_memory(replica)]
    digest = save_tiny(tmp_path, cold, note="the next one")
    open_folder(tmp_path).point(cold, digest)
    await replica.warm(cold)
    assert (await versions(replica))[cold] == digest
    (answer,) = await ask(replica, cold)
    assert isinstance(answer, Inspection)
    assert answer.expert_version == digest


@pytest.mark.asyncio
async def test_a_change_over_looks_at_its_product_alone(
    replica: VisionDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def products(self: BundleStore) -> None:
        pytest.fail("the whole store was read")

    monkeypatch.setattr(BundleStore, "products", products)
    for product in PRODUCTS[:3]:
        assert product in cast(dict[str, str], (await replica.warm(product))["versions"])
