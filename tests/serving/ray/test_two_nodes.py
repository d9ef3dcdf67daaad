"""The application on two Ray nodes: replicas on both, and a node that dies costs no part."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from infra.stack.process import Process
from infra.stack.ray_local import LocalRay, start_ray
from serving.ray.client import ServeVisionExpert
from serving.ray.deploy import deploy
from serving.ray.replicas import ServeReplicas
from serving.ray.settings import VISION
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.nodes import further_node, kill_node
from tests.serving.ray.test_on_ray import named
from tests.serving.ray.tiny import LOADER, picture, save_tiny
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PRODUCTS = [f"product-{i}" for i in range(8)]
TAKT_S = 0.05
TIME_S = 15.0
"""What each part has; on a busy machine generous."""
CPUS = 2
"""Of each node: room for the other one's replica when that node dies."""


@pytest.fixture(scope="module")
def head() -> Iterator[LocalRay]:
    with start_ray(num_cpus=CPUS, ready_timeout_s=180) as started:
        yield started


def replicas_of(node: Process | LocalRay) -> list[psutil.Process]:
    """Processes of the vision expert's replicas on a node."""
    found = psutil.Process(node.pid).children(recursive=True)
    return [p for p in found if p.name().startswith("ray::ServeRepli") and named(p, VISION)]


class Parts:
    """Parts of all products in turn, each asked again while its time lasts."""

    def __init__(self, expert: ServeVisionExpert) -> None:
        self._expert = expert
        self.answered = 0
        self.lost: list[Failure] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def one(self, product: str) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TIME_S
        while True:
            request = InspectionRequest(uuid4(), product, picture(0))
            left_s = max(0.05, until_s - loop.time())
            (answer,) = await self._expert.inspect([request], left_s)
            if isinstance(answer, Inspection):
                self.answered += 1
                return
            if loop.time() >= until_s:
                self.lost.append(answer)
                return
            await asyncio.sleep(0.05)

    async def play(self) -> None:
        while True:
            for product in PRODUCTS:
                part = asyncio.create_task(self.one(product))
                self._under_way.add(part)
                part.add_done_callback(self._under_way.discard)
                await asyncio.sleep(TAKT_S)

    async def more(self, count: int) -> None:
        wanted = self.answered + count
        await until(lambda: self.answered >= wanted, 120, "parts are answered")

    async def settled(self) -> None:
        await asyncio.gather(*self._under_way)


@asynccontextmanager
async def parts(cluster: Cluster) -> AsyncIterator[Parts]:
    """Parts that flow for as long as it lasts; afterwards each has its answer or is lost."""
    expert = ServeVisionExpert(cluster.ingress, cluster.ray.token_file)
    await expert.start()
    flowing = Parts(expert)
    playing = asyncio.create_task(flowing.play())
    try:
        await flowing.more(20)
        yield flowing
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await flowing.settled()
        await expert.close()


async def products_by_replica(cluster: Cluster) -> dict[str, list[str]]:
    """What stations hold on each replica, once both answer."""
    asked = ServeReplicas(cluster.ingress, cluster.ray.token_file)
    try:
        async with asyncio.timeout(180):
            while True:
                status = await asked.look(60)
                if len(status.of(VISION)) == 2 and status.missing(VISION) == 0:
                    return {r.replica: sorted(r.held) for r in status.of(VISION)}
                await asyncio.sleep(0.5)
    finally:
        await asked.close()


async def change_over(cluster: Cluster, digests: dict[str, str]) -> None:
    """Every station asks for its product, which one replica holds from then on."""
    expert = ServeVisionExpert(cluster.ingress, cluster.ray.token_file)
    await expert.start()
    try:
        for product, digest in digests.items():
            assert await expert.warm(product, "", 60.0, f"line/{product}") == digest
    finally:
        await expert.close()


@pytest.mark.asyncio
async def test_a_node_that_dies_costs_no_part_its_answer_and_its_products_move(
    head: LocalRay, tmp_path: Path
) -> None:
    made = Cluster(head, tmp_path / "artifacts", tmp_path / "exemplars")
    digests = {product: save_tiny(made.artifacts, product) for product in PRODUCTS}
    vision = {"loader": LOADER, "by_product": True}
    config = made.config(digests, 2, vision=vision, classifier=None)
    with further_node(head, CPUS) as node:
        await asyncio.to_thread(deploy, config, head.address, 300, head.token_file)
        assert [len(replicas_of(n)) for n in (head, node)] == [1, 1]

        await change_over(made, digests)
        held = await products_by_replica(made)
        assert all(held.values())
        assert sorted(chain.from_iterable(held.values())) == PRODUCTS

        async with parts(made) as flowing:
            kill_node(node)
            await flowing.more(200)
            await until(lambda: len(replicas_of(head)) == 2, 180, "its replica stands again")
            await products_by_replica(made)
            await flowing.more(50)
        assert flowing.lost == []

        again = await products_by_replica(made)
        (kept,) = set(held) & set(again)
        assert set(held[kept]) <= set(again[kept])
