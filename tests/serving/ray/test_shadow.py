"""A version in the shadow is scored and told, and never in the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from serving.bundle_store import SHADOW, open_folder
from serving.ray.settings import VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.events import Inspection
from streams.inspections import ShadowScore
from streams.ports import InspectionRequest
from tests.serving.ray.tiny import LOADER, picture, save_tiny


@asynccontextmanager
async def started(root: Path, share: float = 1.0) -> AsyncIterator[VisionDeployment]:
    settings = VisionSettings(
        loader=LOADER, batch=1, batch_wait_ms=0, follow_s=0.001, shadow_share=share
    )
    made = VisionDeployment(settings, lambda: open_folder(root))
    await made.reconfigure({"products": "latest"})
    try:
        yield made
    finally:
        await made.close()


async def ask(replica: VisionDeployment, frame_id: UUID, level: int = 255) -> Inspection:
    request = InspectionRequest(frame_id, "tile", picture(level))
    (answer,) = unpack_inspections(await replica.score_many(pack_images([request]), 5.0))
    assert isinstance(answer, Inspection)
    return answer


async def told(replica: VisionDeployment, count: int) -> list[ShadowScore]:
    """Ask until so many scores of the shadow were told."""
    found: list[ShadowScore] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += (await ask(replica, uuid4(), level=0)).shadows
            await asyncio.sleep(0.01)
    return found


def versions(root: Path, delay_s: float = 0.0) -> tuple[str, str]:
    """One in force that finds a bright picture odd, and one in the shadow that does not."""
    store = open_folder(root)
    first = save_tiny(root, "tile", threshold=0.5)
    second = save_tiny(root, "tile", threshold=2.0, delay_s=delay_s)
    store.point("tile", first)
    store.point("tile", second, SHADOW)
    return first, second


@pytest.mark.asyncio
async def test_a_shadow_s_word_is_told_with_a_later_answer_and_changes_none(tmp_path: Path) -> None:
    first, second = versions(tmp_path)
    async with started(tmp_path) as replica:
        frame = uuid4()
        answer = await ask(replica, frame)
        assert (answer.expert_version, answer.anomalous, answer.shadows) == (first, True, ())
        found = {score.frame_id: score for score in await told(replica, 3)}
        score = found[frame]
        assert (score.expert_version, score.anomalous) == (second, False)
        assert (score.score, score.threshold) == (answer.score, 2.0)
        assert (await replica.status())["shadows"] == {"tile": second}


@pytest.mark.asyncio
async def test_each_frame_is_told_once(tmp_path: Path) -> None:
    versions(tmp_path)
    async with started(tmp_path) as replica:
        frames = [score.frame_id for score in await told(replica, 20)]
    assert len(frames) == len(set(frames))


@pytest.mark.asyncio
async def test_a_share_bounds_what_it_costs(tmp_path: Path) -> None:
    versions(tmp_path)
    async with started(tmp_path, share=0.25) as replica:
        asked = 0
        found: list[ShadowScore] = []
        async with asyncio.timeout(30):
            while len(found) < 5:
                found += (await ask(replica, uuid4())).shadows
                asked += 1
                await asyncio.sleep(0.005)
    assert asked >= 4 * len(found)


@pytest.mark.asyncio
async def test_answers_do_not_wait_for_a_slow_shadow(tmp_path: Path) -> None:
    """The shadow takes an hour for a picture; the deadline of each answer is seconds."""
    release = asyncio.Event()
    versions(tmp_path)
    async with started(tmp_path) as replica:
        loop = asyncio.get_running_loop()

        def stuck(*_: object, **__: object) -> list[object]:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
            raise RuntimeError("woken at the end")

        replica._models.shadows["tile"].expert.score = stuck  # type: ignore[method-assign]
        for _ in range(30):
            assert (await ask(replica, uuid4())).shadows == ()
        release.set()


@pytest.mark.asyncio
async def test_a_shadow_is_taken_away_and_a_bad_one_is_a_problem(tmp_path: Path) -> None:
    first, second = versions(tmp_path)
    (tmp_path / "tile" / second / "manifest.json").write_text("{}")
    async with started(tmp_path) as replica:
        status = await replica.status()
        assert (status["shadows"], status["versions"]) == ({}, {"tile": first})
        assert "altered" in str(status["problems"])
    third = save_tiny(tmp_path, "tile", threshold=3.0)
    store = open_folder(tmp_path)
    store.point("tile", third, SHADOW)
    async with started(tmp_path) as replica:
        assert (await replica.status())["shadows"] == {"tile": third}
        store.point("tile", None, SHADOW)
        async with asyncio.timeout(30):
            while (await replica.status())["shadows"]:
                await replica.check_health()
                await asyncio.sleep(0.01)
