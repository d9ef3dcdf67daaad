"""The promise of ``infra/serve.yaml`` on a real Ray: no part that had time goes unanswered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from infra.stack.ray_local import LocalRay
from serving.bundle_store import open_folder
from serving.errors import DeployError
from serving.ray.client import ServeVisionExpert
from serving.ray.deploy import deploy
from serving.ray.replicas import ServeReplicas
from serving.ray.settings import VISION
from streams.events import Inspection
from streams.ports import Failure
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.test_on_ray import frames, replicas
from tests.serving.ray.tiny import picture, save_tiny
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TAKT_S = 0.05
TIME_S = 5.0
"""What each part has; on a busy machine generous."""


@dataclass
class Load:
    """Parts at a takt, each asked again while its time lasts, as the roles ask."""

    expert: ServeVisionExpert
    answers: list[Inspection] = field(default_factory=list)
    lost: list[Failure] = field(default_factory=list)
    parts: set[asyncio.Task[None]] = field(default_factory=set)

    async def one(self) -> None:
        answer: Inspection | Failure | None = None
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TIME_S
        while not isinstance(answer, Inspection) and loop.time() < until_s:
            left = max(0.05, until_s - loop.time())
            (answer,) = await self.expert.inspect(frames(picture(0)), left)
            if isinstance(answer, Failure):
                await asyncio.sleep(0.05)
        if isinstance(answer, Inspection):
            self.answers.append(answer)
        elif answer is not None:
            self.lost.append(answer)

    async def play(self) -> None:
        while True:
            part = asyncio.create_task(self.one())
            self.parts.add(part)
            part.add_done_callback(self.parts.discard)
            await asyncio.sleep(TAKT_S)

    async def more(self, count: int) -> None:
        wanted = len(self.answers) + count
        await until(lambda: len(self.answers) >= wanted, 60, "parts are answered")


@asynccontextmanager
async def load(cluster: Cluster) -> AsyncIterator[Load]:
    expert = ServeVisionExpert(cluster.ingress, cluster.ray.token_file)
    await expert.start()
    running = Load(expert)
    playing = asyncio.create_task(running.play())
    try:
        await running.more(20)
        yield running
        await running.more(20)
    finally:
        playing.cancel()
        await asyncio.gather(playing, *running.parts, return_exceptions=True)
        await expert.close()


@pytest.fixture(scope="module")
def shipped(ray_head: LocalRay, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The application with as many replicas as ``infra/serve.yaml`` gives it."""
    folder = tmp_path_factory.mktemp("promise")
    made = Cluster(ray_head, folder / "artifacts", folder / "exemplars")
    first = save_tiny(made.artifacts, note="first")
    open_folder(made.artifacts).point("tile", first)
    config = made.config({"tile": "latest"})
    deploy(config, ray_head.address, 300, ray_head.token_file)
    return made


@pytest.mark.asyncio
async def test_every_replica_answers_the_question_what_it_holds(shipped: Cluster) -> None:
    asked = ServeReplicas(shipped.ingress, shipped.ray.token_file)
    try:
        status = await asked.look(60)
    finally:
        await asked.close()
    assert status.expected[VISION] == len(status.of(VISION)) == 2
    assert status.missing(VISION) == 0


@pytest.mark.asyncio
async def test_a_version_put_in_force_takes_over_and_no_part_waits_in_vain(
    shipped: Cluster,
) -> None:
    fresh = save_tiny(shipped.artifacts, note="fresh", delay_s=0.01)
    asked = ServeReplicas(shipped.ingress, shipped.ray.token_file)
    async with load(shipped) as line:
        open_folder(shipped.artifacts).point("tile", fresh)

        async def holders() -> int:
            status = await asked.look(60)
            return sum(r.versions.get("tile") == fresh for r in status.of(VISION))

        async with asyncio.timeout(120):
            while await holders() < 2:  # noqa: ASYNC110 - replicas have no event for it
                await asyncio.sleep(0.2)
        await line.more(40)
        assert {a.expert_version for a in line.answers[-20:]} == {fresh}
    await asked.close()
    assert line.lost == []


@pytest.mark.asyncio
@pytest.mark.parametrize("deployment", ["VisionExpert", "Ingress"])
async def test_a_killed_replica_costs_no_part_its_answer(shipped: Cluster, deployment: str) -> None:
    async with load(shipped) as line:
        of_deployment = replicas(shipped.ray, deployment)
        assert len(of_deployment) == 2
        of_deployment[0].kill()
        await line.more(150)
        await until(lambda: len(replicas(shipped.ray, deployment)) == 2, 120)
    assert line.lost == []


def test_a_digest_that_is_not_there_is_told_and_nothing_falls_over(
    shipped: Cluster, ray_head: LocalRay
) -> None:
    before = save_tiny(shipped.artifacts, note="before")
    pinned = shipped.config({"tile": before})
    deploy(pinned, ray_head.address, 300, ray_head.token_file)
    try:
        unknown = shipped.config({"tile": "0" * 64})
        with pytest.raises(DeployError, match=r"runs, but VisionExpert, tile: .*not in the store"):
            deploy(unknown, ray_head.address, 300, ray_head.token_file)
        replicas(ray_head, VISION)[0].kill()
        held = asyncio.run(_held_again(shipped))
        assert held == [before, before]
    finally:
        latest = shipped.config({"tile": "latest"})
        deploy(latest, ray_head.address, 300, ray_head.token_file)


async def _held_again(cluster: Cluster) -> list[str]:
    """What both replicas hold, once there are two again."""
    asked = ServeReplicas(cluster.ingress, cluster.ray.token_file)
    try:
        async with asyncio.timeout(120):
            while True:
                status = await asked.look(60)
                found = [r.versions.get("tile", "") for r in status.of(VISION)]
                if len(found) == 2 and status.missing(VISION) == 0:
                    return found
                await asyncio.sleep(0.2)
    finally:
        await asked.close()
