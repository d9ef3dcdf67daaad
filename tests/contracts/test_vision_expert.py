"""The contract of ``VisionExpert``: the twin, the client over an ingress here, and over Ray."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from infra.stack.process import free_port
from serving.bundle_store import open_folder
from serving.ray.client import ServeVisionExpert
from serving.ray.settings import VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from streams.codes import ReasonCode
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest, VisionExpert
from tests.contracts.twins.vision_expert import TwinExpert
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.local import served, started
from tests.serving.ray.tiny import LOADER, picture, save_tiny
from tests.streams.made import BROKEN, ODD

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]


@dataclass
class Subject:
    """An expert, and pictures that it finds odd, normal and undecodable."""

    expert: VisionExpert
    odd: bytes = picture(255)
    normal: bytes = picture(0)
    broken: bytes = b"no image"


@asynccontextmanager
async def subject(
    kind: str, request: pytest.FixtureRequest, folder: Path
) -> AsyncIterator[Subject]:
    if kind == "twin":
        yield Subject(TwinExpert(), ODD, b"normal", BROKEN)
    elif kind == "ray":
        cluster: Cluster = request.getfixturevalue("cluster")
        async with started(ServeVisionExpert(cluster.ingress, cluster.ray.token_file)) as expert:
            yield Subject(expert)
    else:
        save_tiny(folder, "tile")
        replica = VisionDeployment(VisionSettings(loader=LOADER), lambda: open_folder(folder))
        await replica.reconfigure({"products": "latest"})
        async with served(replica) as address, started(ServeVisionExpert(address)) as expert:
            yield Subject(expert)
        await replica.close()


KINDS = ["twin", "ingress", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.mark.parametrize("kind", KINDS)
async def test_one_answer_for_each_request_in_order(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with subject(kind, request, tmp_path) as at:
        assert isinstance(at.expert, VisionExpert)
        images = [at.odd, at.broken, at.normal, at.odd]
        requests = [InspectionRequest(uuid4(), "tile", image) for image in images]
        answers = await at.expert.inspect(requests, 60)
        found = [a.anomalous if isinstance(a, Inspection) else a.reason_code for a in answers]
        assert found == [True, ReasonCode.UNDECODABLE_IMAGE, False, True]
        assert not any(a.retryable for a in answers if isinstance(a, Failure))
        assert list(await at.expert.inspect([], 1)) == []


@pytest.mark.parametrize("kind", ["twin", "client"])
async def test_one_that_is_away_fails_each_request_and_may_be_asked_again(kind: str) -> None:
    requests = [InspectionRequest(uuid4(), "tile", b"x") for _ in range(3)]
    async with started(ServeVisionExpert(f"127.0.0.1:{free_port()}")) as client:
        expert: VisionExpert = TwinExpert(down=True) if kind == "twin" else client
        answers = await expert.inspect(requests, 0.3)
    failures = [a for a in answers if isinstance(a, Failure)]
    assert len(failures) == 3
    assert {f.reason_code for f in failures} == {ReasonCode.EXPERT_UNAVAILABLE}
    assert all(f.retryable for f in failures)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_product_is_warm_or_it_is_said_why_not(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with subject(kind, request, tmp_path) as at:
        version = await at.expert.warm("tile", "", 60)
        assert isinstance(version, str)
        assert await at.expert.warm("tile", version[:12], 60) == version
        for product, wanted in (("tile", "0" * 64), ("never seen", "")):
            refused = await at.expert.warm(product, wanted, 60)
            assert isinstance(refused, Failure)
            assert (refused.reason_code, refused.retryable) == (ReasonCode.NO_ARTIFACT, False)
