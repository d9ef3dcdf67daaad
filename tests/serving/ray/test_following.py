"""Replicas follow what the store has in force, and start again whatever was asked of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from serving.bundle_store import open_folder
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.settings import ClassifierArguments, VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from tests.serving.ray.tiny import CLASSIFIER, LOADER, picture, save_tiny

SETTINGS = VisionSettings(loader=LOADER, batch=1, batch_wait_ms=1, follow_s=0.001)


@asynccontextmanager
async def started(root: Path, config: object) -> AsyncIterator[VisionDeployment]:
    """A replica, and no look at the store under way when it is over."""
    made = VisionDeployment(SETTINGS, lambda: open_folder(root))
    await made.reconfigure(config)
    try:
        yield made
    finally:
        await made.close()


async def ask(replica: VisionDeployment, product: str = "tile") -> Inspection | Failure:
    request = InspectionRequest(uuid4(), product, picture(0))
    (answer,) = unpack_inspections(await replica.score_many(pack_images([request]), 5.0))
    return answer


async def version(replica: VisionDeployment, product: str = "tile") -> str:
    answer = await ask(replica, product)
    return answer.expert_version if isinstance(answer, Inspection) else answer.message


async def comes_to(replica: VisionDeployment, digest: str) -> None:
    """Health checks go on, as Serve makes them, until the replica answers with a version."""
    async with asyncio.timeout(30):
        while await version(replica) != digest:
            await replica.check_health()
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_a_product_trained_after_the_deployment_is_found(tmp_path: Path) -> None:
    async with started(tmp_path, {"products": "latest"}) as replica:
        assert isinstance(await ask(replica), Failure)
        await comes_to(replica, save_tiny(tmp_path, "tile"))


@pytest.mark.asyncio
async def test_a_product_is_warm_once_somebody_asks_for_it(tmp_path: Path) -> None:
    async with started(tmp_path, {"products": "latest"}) as replica:
        assert (await replica.warm("tile"))["versions"] == {}
        first = save_tiny(tmp_path, "tile")
        assert (await replica.warm("tile"))["versions"] == {"tile": first}
        assert await version(replica) == first
        second = save_tiny(tmp_path, "tile", note="the next one")
        open_folder(tmp_path).point("tile", second)
        assert (await replica.warm("tile"))["versions"] == {"tile": second}


@pytest.mark.asyncio
@pytest.mark.parametrize("products", ["latest", {"tile": "latest"}])
async def test_the_pointer_decides_which_version_answers(tmp_path: Path, products: object) -> None:
    store = open_folder(tmp_path)
    one, two = (save_tiny(tmp_path, "tile", note=note) for note in "12")
    store.point("tile", one)
    async with started(tmp_path, {"products": products}) as replica:
        assert await version(replica) == one
        store.point("tile", two)
        await comes_to(replica, two)
        save_tiny(tmp_path, "tile", note="a later one, which nobody put in force")
        store.point("tile", one)
        await comes_to(replica, one)


@pytest.mark.asyncio
async def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_says_why(
    tmp_path: Path,
) -> None:
    store = open_folder(tmp_path)
    one, two = (save_tiny(tmp_path, "tile", note=note) for note in "12")
    store.point("tile", one)
    async with started(tmp_path, {"products": "latest"}) as replica:
        store.point("tile", two)
        (tmp_path / "tile" / two / "manifest.json").write_text("{}")

        async def said() -> dict[str, str]:
            await replica.check_health()
            problems = (await replica.status())["problems"]
            assert isinstance(problems, dict)
            return problems

        async with asyncio.timeout(30):
            while "tile" not in await said():  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0.01)
        assert "altered" in (await said())["tile"]
        assert await version(replica) == one


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", [{"products": {"tile": "0" * 64}}, {"produkts": {}}])
async def test_a_replica_that_died_under_a_bad_configuration_starts_again(
    tmp_path: Path, bad: object
) -> None:
    digest = save_tiny(tmp_path, "tile")
    async with started(tmp_path, {"products": {"tile": digest}}) as replica:
        await replica.reconfigure(bad)
    async with started(tmp_path, bad) as fresh:
        assert await version(fresh) == digest
        assert (await fresh.status())["problems"]


@pytest.mark.asyncio
async def test_a_pinned_product_is_left_alone(tmp_path: Path) -> None:
    one, two = (save_tiny(tmp_path, "tile", note=note) for note in "12")
    async with started(tmp_path, {"products": {"tile": one}}) as replica:
        open_folder(tmp_path).point("tile", two)
        await replica.check_health()
        status = await replica.status()
        assert (status["versions"], status["pinned"]) == ({"tile": one}, ["tile"])


@pytest.mark.asyncio
async def test_exemplars_are_followed_and_survive_a_bad_configuration(tmp_path: Path) -> None:
    def make() -> ClassifierDeployment:
        settings = ClassifierArguments(kind=CLASSIFIER, follow_s=0.001)
        return ClassifierDeployment(settings, lambda: open_folder(tmp_path))

    store = open_folder(tmp_path)
    one, two = (save_tiny(tmp_path, "tile", note=note) for note in "12")
    store.point("tile", one)
    actor, again = make(), make()
    try:
        await actor.reconfigure(None)
        assert (await actor.status())["versions"] == {"tile": one}
        store.point("tile", two)
        async with asyncio.timeout(30):
            while actor._versions != {"tile": two}:
                await actor.check_health()
                await asyncio.sleep(0.01)
        await again.reconfigure({"exemplars": {"tile": "0" * 64}})
        status = await again.status()
        assert status["versions"] == {"tile": two}
        assert "not in the store" in str(status["problems"])
    finally:
        await actor.close()
        await again.close()
