"""What the replicas hold, asked at the ingress."""

from pathlib import Path

import pytest

from infra.stack.process import free_port
from serving.bundle_store import open_folder
from serving.errors import ServingError
from serving.ray import ingress
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.replicas import ServeReplicas
from serving.ray.settings import CLASSIFIER, VISION, ClassifierArguments, VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from streams.errors import UnavailableError
from tests.serving.ray.local import served
from tests.serving.ray.tiny import CLASSIFIER as TINY
from tests.serving.ray.tiny import LOADER, save_tiny


@pytest.mark.asyncio
async def test_the_ingress_says_what_every_replica_holds(tmp_path: Path) -> None:
    digest = save_tiny(tmp_path, "tile")
    builds = ["0.2.0", "0.3.0"]  # said as it starts: files may be exchanged under a replica
    settings, arguments = VisionSettings(loader=LOADER), ClassifierArguments(kind=TINY)
    vision = VisionDeployment(settings, lambda: open_folder(tmp_path), build=builds.pop)
    naming = ClassifierDeployment(arguments, lambda: open_folder(tmp_path), build=builds.pop)
    await vision.reconfigure({"products": {"tile": digest, "cloth": "latest"}})
    await naming.reconfigure(None)
    async with served(vision, naming) as address:
        replicas = ServeReplicas(address)
        status = await replicas.look(10)
        await replicas.close()
    await vision.close()
    await naming.close()
    (expert,), (classifier,) = status.of(VISION), status.of(CLASSIFIER)
    assert expert.versions == classifier.versions == {"tile": digest}
    assert status.builds == {VISION: {"0.3.0"}, CLASSIFIER: {"0.2.0"}}
    assert expert.pinned == ["tile"]
    assert expert.listed == ["tile", "cloth"]
    assert classifier.listed is None
    assert "train it first" in expert.problems["cloth"]
    assert status.missing(VISION) == 0


@pytest.mark.asyncio
async def test_a_replica_that_does_not_answer_is_missing() -> None:
    async with served(object()) as address:
        replicas = ServeReplicas(address)
        status = await replicas.look(10)
        await replicas.close()
    assert status.of(VISION) == []
    assert status.missing(VISION) == 1


@pytest.mark.asyncio
async def test_an_ingress_that_is_not_there_is_unavailable() -> None:
    replicas = ServeReplicas(f"127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="andon doctor"):
        await replicas.look(5)
    await replicas.close()


@pytest.mark.asyncio
async def test_after_a_deployment_that_failed_as_many_replicas_are_expected_as_before() -> None:
    """Serve names no deployment then; one replica of two that answered passed for all of them."""
    counts = [{}, {VISION: 2}, {}]
    async with served(object(), count=counts.pop) as address:
        replicas = ServeReplicas(address)
        with pytest.raises(UnavailableError, match="how many replicas there should be"):
            await replicas.look(10)
        for _ in range(2):
            assert (await replicas.look(10)).missing(VISION) == 2
        await replicas.close()


@pytest.mark.asyncio
async def test_an_ingress_learns_how_many_replicas_there_are_before_it_is_asked() -> None:
    counts = [{}, {VISION: 2}]
    async with served(object(), count=counts.pop, healthy=True) as address:
        replicas = ServeReplicas(address)
        assert (await replicas.look(10)).missing(VISION) == 2
        await replicas.close()


def test_classifiers_that_cannot_be_counted_are_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take the whole budget of an endpoint for its own."""
    monkeypatch.setattr(ingress, "_count_replicas", dict)
    with pytest.raises(ServingError, match="how many replicas there should be"):
        ingress.count_classifiers()
