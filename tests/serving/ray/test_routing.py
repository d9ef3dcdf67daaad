"""Each product has its replica."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from serving.ray.client import ServeVisionExpert
from serving.ray.deploy import deploy
from serving.ray.replicas import ServeReplicas
from serving.ray.routing import ranked, score_by_product
from serving.ray.settings import VISION
from serving.ray.wire import (
    calls_by_product,
    pack_images,
    pack_inspections,
    unpack_images,
    unpack_inspections,
)
from streams.codes import ReasonCode
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.local import started
from tests.serving.ray.tiny import LOADER, picture, save_tiny

PRODUCTS = [f"product-{i}" for i in range(12)]


def call_of(products: Sequence[str]) -> bytes:
    return pack_images(
        [InspectionRequest(uuid4(), p, str(i).encode()) for i, p in enumerate(products)]
    )


def answers_of(call: bytes) -> bytes:
    """An answer that says which picture it is of."""
    return pack_inspections(
        [
            Failure(ReasonCode.LATE, "Of", f"{i.product} {i.image.decode()}")
            for i in unpack_images(call)
        ]
    )


def test_a_call_is_parted_by_product_and_keeps_frames_and_places() -> None:
    body = call_of("abaca")
    asked = unpack_images(body)
    parts = calls_by_product(body)
    assert {product: places for product, (places, _) in parts.items()} == {
        "a": [0, 2, 4],
        "b": [1],
        "c": [3],
    }
    for places, part in parts.values():
        assert unpack_images(part) == [asked[i] for i in places]
    single = call_of("aa")
    assert calls_by_product(single) == {"a": ([0, 1], single)}


@pytest.mark.asyncio
async def test_answers_come_in_the_order_of_the_images() -> None:
    async def call(product: str, part: bytes) -> bytes:
        return answers_of(part)

    found = unpack_inspections(await score_by_product(call_of("abaca"), call))
    assert [a.message for a in found if isinstance(a, Failure)] == [
        "a 0",
        "b 1",
        "a 2",
        "c 3",
        "a 4",
    ]


@pytest.mark.asyncio
async def test_a_replica_that_is_gone_fails_its_products_alone() -> None:
    async def call(product: str, part: bytes) -> bytes:
        if product == "b":
            raise RuntimeError("the replica is gone")
        return answers_of(part)

    found = unpack_inspections(await score_by_product(call_of("aba"), call))
    kinds = [(a.reason_code, a.retryable) for a in found if isinstance(a, Failure)]
    assert kinds == [
        (ReasonCode.LATE, False),
        (ReasonCode.EXPERT_UNAVAILABLE, True),
        (ReasonCode.LATE, False),
    ]
    with pytest.raises(RuntimeError, match="gone"):
        await score_by_product(call_of("bb"), call)


def test_only_the_products_of_a_replica_that_goes_move() -> None:
    three, two = ("x", "y", "z"), ("x", "z")
    products = [f"product-{i}" for i in range(300)]
    first = {product: ranked(product, three)[0] for product in products}
    assert all(60 < list(first.values()).count(name) < 140 for name in three)
    for product in products:
        if first[product] != "y":
            assert ranked(product, two)[0] == first[product]


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.timeout(600)
async def test_over_ray_each_station_holds_its_product_on_one_replica(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("by-product")
    made = Cluster(cluster.ray, folder / "artifacts", folder / "exemplars", "by-product")
    digests = {product: save_tiny(made.artifacts, product) for product in PRODUCTS}
    vision = {"loader": LOADER, "by_product": True}
    config = made.config(digests, 2, vision=vision, classifier=None)
    deploy(config, made.ray.address, 300, made.ray.token_file)
    async with started(ServeVisionExpert(made.ingress, made.ray.token_file)) as expert:
        for product, digest in digests.items():
            assert await expert.warm(product, "", 60.0, f"line/{product}") == digest
        requests = [InspectionRequest(uuid4(), p, picture(0)) for p in PRODUCTS * 2]
        for request, answer in zip(requests, await expert.inspect(requests, 60.0), strict=True):
            assert isinstance(answer, Inspection)
            assert answer.expert_version == digests[request.product_id]
    replicas = ServeReplicas(made.ingress, made.ray.token_file)
    try:
        held = [replica.held for replica in (await replicas.look(60)).of(VISION)]
    finally:
        await replicas.close()
    assert len(held) == 2
    assert sorted([*held[0], *held[1]]) == sorted(PRODUCTS)
