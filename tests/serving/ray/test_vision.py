"""The vision expert's replica, without Ray."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest
import pytest_asyncio

from serving.bundle_store import open_folder
from serving.errors import ServeConfigError
from serving.ray.settings import VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.codes import ReasonCode
from streams.errors import UnavailableError
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from streams.regions import region_mask
from tests.serving.ray.tiny import LOADER, picture, save_tiny
from tests.streams.images.fuzz import mutated
from tests.streams.images.made import by_kind
from tests.waiting import until


@pytest_asyncio.fixture
async def replica(tmp_path: Path) -> AsyncIterator[VisionDeployment]:
    settings = VisionSettings(loader=LOADER, batch=4, batch_wait_ms=1, health_interval_s=1)
    expert = VisionDeployment(settings, lambda: open_folder(tmp_path))
    yield expert
    await expert.close()


async def _ask(replica: VisionDeployment, *items: tuple[str, bytes]) -> list[Inspection | Failure]:
    requests = [InspectionRequest(uuid4(), product, image) for product, image in items]
    return unpack_inspections(await replica.score_many(pack_images(requests), 5.0))


@pytest.mark.asyncio
async def test_each_image_gets_its_answer_from_its_products_expert(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    tile = save_tiny(tmp_path, "tile", threshold=0.5)
    cloth = save_tiny(tmp_path, "cloth", threshold=2.0)
    await replica.reconfigure({"products": {"tile": tile, "cloth": cloth}})
    light, dark = picture(255), picture(0)
    answers = await _ask(
        replica, ("tile", light), ("cloth", light), ("tile", b"no image"), ("tile", dark)
    )
    odd, fine, broken, normal = answers
    assert isinstance(odd, Inspection)
    assert odd.anomalous
    assert odd.expert_version == tile
    assert odd.region is not None
    assert region_mask(odd.region).all()
    assert odd.region.blobs[0].box.width == 32
    assert {"queue", "decode", "score"} <= set(odd.timings_ms)
    assert odd.brightness == 1.0
    assert (odd.contrast, odd.sharpness) == (0.0, 1.0)
    assert isinstance(fine, Inspection)
    assert (fine.anomalous, fine.expert_version, fine.region) == (False, cloth, None)
    assert isinstance(broken, Failure)
    assert (broken.reason_code, broken.retryable) == (ReasonCode.UNDECODABLE_IMAGE, False)
    assert isinstance(normal, Inspection)
    assert not normal.anomalous


@pytest.mark.asyncio
async def test_wide_pixels_are_scaled_by_the_depth_of_the_products_expert(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    products = {
        "tile": save_tiny(tmp_path, "tile", note="12 bits"),
        "cloth": save_tiny(tmp_path, "cloth"),
    }
    await replica.reconfigure({"products": products})
    dim, deep = (
        cv2.imencode(".png", np.full((8, 8), value, np.uint16))[1].tobytes()
        for value in (1000, 9000)
    )
    as_trained, counted, too_deep = await _ask(
        replica, ("tile", dim), ("cloth", dim), ("tile", deep)
    )
    assert isinstance(as_trained, Inspection)
    assert isinstance(counted, Inspection)
    assert as_trained.brightness == pytest.approx(62 / 255, abs=0.01)
    assert counted.brightness == pytest.approx(249 / 255, abs=0.01)
    assert isinstance(too_deep, Failure)
    assert (too_deep.reason_code, too_deep.retryable) == (ReasonCode.UNDECODABLE_IMAGE, False)
    assert "bit depth of 12" in too_deep.message


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", range(6))
async def test_a_damaged_picture_has_its_own_reason_and_is_not_asked_again(
    damage: int, replica: VisionDeployment, tmp_path: Path
) -> None:
    await replica.reconfigure({"products": {"tile": save_tiny(tmp_path, "tile")}})
    rng = np.random.default_rng(damage)
    kinds = sorted(by_kind().items())
    damaged = [(name, mutated(data, data, rng)) for name, data in kinds]
    for (name, _), answer in zip(
        damaged, await _ask(replica, *(("tile", data) for _, data in damaged)), strict=True
    ):
        if isinstance(answer, Failure):
            assert answer.reason_code is ReasonCode.UNDECODABLE_IMAGE, name
            assert not answer.retryable


@pytest.mark.asyncio
async def test_an_image_that_the_expert_cannot_bear_fails_alone(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    save_tiny(tmp_path, "tile")
    await replica.reconfigure({"products": "latest"})
    first, poison, last = await _ask(
        replica, ("tile", picture(0)), ("tile", picture(0, side=13)), ("tile", picture(0))
    )
    assert isinstance(first, Inspection)
    assert isinstance(last, Inspection)
    assert isinstance(poison, Failure)
    assert (poison.reason_code, poison.retryable) == (ReasonCode.EXPERT_UNAVAILABLE, True)
    assert "cannot bear" in poison.message


@pytest.mark.asyncio
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
async def test_answers_keep_their_places_whatever_decodes_them(
    tmp_path: Path, threads: int
) -> None:
    save_tiny(tmp_path, "tile", threshold=0.5)
    settings = VisionSettings(loader=LOADER, batch=5, batch_wait_ms=1, decode_threads=threads)
    replica = VisionDeployment(settings, lambda: open_folder(tmp_path))
    try:
        await replica.reconfigure({"products": "latest"})
        images = [picture(255), picture(0), b"no image", picture(255), picture(0)]
        answers = await _ask(replica, *(("tile", image) for image in images))
    finally:
        await replica.close()
    found = [a.anomalous if isinstance(a, Inspection) else None for a in answers]
    assert found == [True, False, None, True, False]


@pytest.mark.asyncio
async def test_a_product_without_an_expert_is_told_why(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    digest = save_tiny(tmp_path, "tile")
    missing = "f" * 64
    await replica.reconfigure({"products": {"tile": digest, "cloth": missing}})
    tile, cloth, bolt = await _ask(
        replica, ("tile", picture(0)), ("cloth", picture(0)), ("bolt", picture(0))
    )
    assert isinstance(tile, Inspection)
    assert isinstance(cloth, Failure)
    assert (cloth.reason_code, cloth.retryable) == (ReasonCode.NO_ARTIFACT, False)
    assert "not in the store" in cloth.message
    assert isinstance(bolt, Failure)
    assert "in force" in bolt.message


@pytest.mark.asyncio
async def test_a_bad_release_leaves_the_running_versions_at_work(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    digest = save_tiny(tmp_path, "tile")
    await replica.reconfigure({"products": {"tile": digest}})
    for bad in ({"products": {"tile": "0" * 64}}, {"products": {"tile": "v2"}}, {"versions": {}}):
        await replica.reconfigure(bad)
        (answer,) = await _ask(replica, ("tile", picture(0)))
        assert isinstance(answer, Inspection)
        assert answer.expert_version == digest
        assert (await replica.status())["problems"]


@pytest.mark.asyncio
async def test_a_store_that_is_away_leaves_the_running_versions_at_work(
    replica: VisionDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = save_tiny(tmp_path, "tile")
    await replica.reconfigure({"products": "latest"})

    def away(*_: object) -> dict[str, str]:
        raise UnavailableError("the object store is away")

    monkeypatch.setattr("serving.bundle_store.BundleStore.products", away)
    monkeypatch.setattr("serving.bundle_store.BundleStore.fetch", away)
    for config in ({"products": "latest"}, {"products": {"tile": "0" * 64}}):
        await replica.reconfigure(config)
        (answer,) = await _ask(replica, ("tile", picture(0)))
        assert isinstance(answer, Inspection)
        assert answer.expert_version == digest
        assert "is away" in str((await replica.status())["problems"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"products": {"tile": "v2"}}, "products.tile: 'v2' is no digest"),
        ({"products": {"tile": "0" * 64}}, "not in the store"),
        ({"product": {}}, "product: Extra inputs"),
        ({"products": {7: "latest"}}, "YAML reads this one as 7: write it in quotes"),
        ({"products": {True: "latest"}}, "YAML reads this one as True: write it in quotes"),
        ({"products": {1e3: "latest"}}, "YAML reads this one as 1000.0: write it in quotes"),
        ({"products": {None: "latest"}}, "YAML reads this one as None: write it in quotes"),
    ],
)
async def test_a_first_configuration_that_cannot_be_used_is_an_error(
    replica: VisionDeployment, config: object, words: str
) -> None:
    with pytest.raises(ServeConfigError, match=words):
        await replica.reconfigure(config)


@pytest.mark.asyncio
async def test_the_version_changes_under_load_and_every_frame_is_answered(
    replica: VisionDeployment, tmp_path: Path
) -> None:
    versions = [save_tiny(tmp_path, "tile", note=str(i), delay_s=0.002) for i in range(4)]
    await replica.reconfigure({"products": {"tile": versions[0]}})
    seen: list[Inspection | Failure] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            seen.extend(await _ask(replica, ("tile", picture(0)), ("tile", picture(255))))

    callers = [asyncio.create_task(load()) for _ in range(4)]
    for version in versions:
        await replica.reconfigure({"products": {"tile": version}})
        await until(lambda: version in {getattr(a, "expert_version", "") for a in seen[-8:]})  # noqa: B023
    done.set()
    await asyncio.gather(*callers)
    assert all(isinstance(a, Inspection) for a in seen)
    found = [a.expert_version for a in seen if isinstance(a, Inspection)]
    assert set(found) == set(versions)


@pytest.mark.asyncio
async def test_the_health_check_exercises_the_model(
    replica: VisionDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny(tmp_path, "tile")
    await replica.reconfigure({"products": "latest"})
    await replica.check_health()
    expert = replica._models.current["tile"].expert
    monkeypatch.setattr(replica, "_proven", float("-inf"))
    await replica.check_health()
    monkeypatch.setattr(type(expert), "score", lambda *a, **k: 1 / 0)
    await replica.check_health()  # scored a moment ago
    monkeypatch.setattr(replica, "_proven", float("-inf"))
    with pytest.raises(ZeroDivisionError):
        await replica.check_health()


@pytest.mark.asyncio
async def test_a_known_image_that_scores_differently_is_ill_health(
    replica: VisionDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny(tmp_path, "tile")
    await replica.reconfigure({"products": "latest"})
    monkeypatch.setattr(replica, "_proven", float("-inf"))
    monkeypatch.setattr("serving.ray.models.known_image", lambda: _white())
    with pytest.raises(RuntimeError, match="known image scored"):
        await replica.check_health()


def _white() -> object:
    import numpy as np

    return np.full((32, 32, 3), 255, np.uint8)
