"""The application on a real Ray: calls, swaps, dead replicas, a dead cluster."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import grpc
import psutil
import pytest

from infra.stack.process import free_port
from infra.stack.ray_local import LocalRay, start_ray
from serving.errors import DeployError
from serving.ray.client import CALL_BYTES, ServeClassifier, ServeVisionExpert
from serving.ray.deploy import deploy
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import (
    AnomalyClassifier,
    ClassificationRequest,
    ClassificationTexts,
    Failure,
    InspectionRequest,
    VisionExpert,
)
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.tiny import picture, save_tiny
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TEXTS = ClassificationTexts("tile", "hash")


def frames(*images: bytes, product: str = "tile") -> list[InspectionRequest]:
    return [InspectionRequest(uuid4(), product, image) for image in images]


async def client(cluster: Cluster) -> ServeVisionExpert:
    made = ServeVisionExpert(cluster.ingress, cluster.ray.token_file)
    await made.start()
    return made


@pytest.mark.asyncio
async def test_a_call_carries_many_images_and_each_gets_its_answer(cluster: Cluster) -> None:
    expert = await client(cluster)
    assert isinstance(expert, VisionExpert)
    requests = frames(picture(255), b"no image", picture(0))
    requests += frames(picture(0), product="unknown")
    odd, broken, normal, strange = await expert.inspect(requests, 60)
    assert isinstance(odd, Inspection)
    assert odd.anomalous
    assert odd.region is not None
    assert isinstance(broken, Failure)
    assert broken.reason_code is ReasonCode.UNDECODABLE_IMAGE
    assert isinstance(normal, Inspection)
    assert not normal.anomalous
    assert isinstance(strange, Failure)
    assert strange.reason_code is ReasonCode.NO_ARTIFACT
    assert await expert.inspect([], 1) == []
    await expert.close()


@pytest.mark.asyncio
async def test_calls_larger_than_grpc_likes_arrive(cluster: Cluster) -> None:
    expert = await client(cluster)
    large = picture(0, side=1700, kind="BMP")
    assert len(large) > 8 << 20
    count = CALL_BYTES // len(large) + 2
    answers = await expert.inspect(frames(*[large] * count), 60)
    assert [type(a) for a in answers] == [Inspection] * count
    await expert.close()


@pytest.mark.asyncio
async def test_the_classifier_answers_at_the_same_address(cluster: Cluster) -> None:
    classifier = ServeClassifier(cluster.ingress, cluster.ray.token_file)
    assert isinstance(classifier, AnomalyClassifier)
    await classifier.start()
    odd = Inspection(score=2, threshold=1, p_value=0.01, anomalous=True, expert_version="v")
    answers = await classifier.classify(
        [
            ClassificationRequest(uuid4(), image, odd, TEXTS, datetime.now(UTC))
            for image in (b"1", b"refuse")
        ],
        60,
    )
    assert isinstance(answers[0], Classification)
    assert answers[0].class_name == "bright"
    assert isinstance(answers[1], Failure)
    await classifier.close()


@pytest.mark.asyncio
async def test_a_new_version_takes_over_under_load_without_losing_a_frame(
    cluster: Cluster,
) -> None:
    expert = await client(cluster)
    (before,) = await expert.inspect(frames(picture(0)), 60)
    assert isinstance(before, Inspection)
    fresh = save_tiny(cluster.artifacts, note=f"fresh {time.time()}")
    seen: list[Inspection | Failure] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            seen.extend(await expert.inspect(frames(picture(0), picture(255)), 10))

    callers = [asyncio.create_task(load()) for _ in range(3)]
    await asyncio.to_thread(cluster.deploy, {"tile": fresh})

    def swapped() -> bool:
        return isinstance(seen[-1], Inspection) and seen[-1].expert_version == fresh

    await until(swapped, 30)
    done.set()
    await asyncio.gather(*callers)
    await expert.close()
    assert [a for a in seen if not isinstance(a, Inspection)] == []
    versions = [a.expert_version for a in seen if isinstance(a, Inspection)]
    assert list(dict.fromkeys(versions)) == [before.expert_version, fresh]


async def answered(expert: ServeVisionExpert, within_s: float = 60.0) -> Inspection:
    """The first answer, asked for again and again as the roles do it."""
    async with asyncio.timeout(within_s):
        while True:
            (answer,) = await expert.inspect(frames(picture(0)), 10)
            if isinstance(answer, Inspection):
                return answer
            assert answer.retryable, answer
            await asyncio.sleep(0.1)


@pytest.mark.asyncio
@pytest.mark.parametrize("deployment", ["VisionExpert", "Ingress"])
async def test_a_killed_replica_costs_failures_until_another_stands(
    cluster: Cluster, deployment: str
) -> None:
    expert = await client(cluster)
    await answered(expert)
    (replica,) = replicas(cluster.ray, deployment)
    replica.kill()
    (short,) = await expert.inspect(frames(picture(0)), 0.5)
    assert isinstance(short, Failure)
    assert (short.reason_code, short.retryable) == (ReasonCode.EXPERT_UNAVAILABLE, True)
    await answered(expert)
    await expert.close()


@pytest.mark.asyncio
async def test_a_replica_that_dies_of_an_image_takes_only_that_image_along(
    cluster: Cluster,
) -> None:
    expert = await client(cluster)
    (fatal,) = await expert.inspect(frames(picture(0, side=66)), 2)
    assert isinstance(fatal, Failure)
    await answered(expert)
    await expert.close()


def servers(head: LocalRay) -> dict[str, psutil.Process]:
    """Addresses beyond loopback at which processes of the head listen."""
    found = {}
    for process in psutil.Process(head.process.pid).children(recursive=True):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN and not one.laddr.ip.endswith("127.0.0.1"):
                found[f"127.0.0.1:{one.laddr.port}"] = process
    return found


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments:DeprecationWarning")
def test_who_unpickles_asks_for_the_token_first(cluster: Cluster, tmp_path: Path) -> None:
    """The replicas' servers listen on every interface, which Ray fixes; nothing else does."""
    from ray.serve.generated.serve_pb2 import ASGIRequest

    found = servers(cluster.ray)
    assert {p.name()[:16] for p in found.values()} == {"ray::ServeReplic"}
    assert len(found) == 3, "one for each deployment"
    for address in found:
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            trap = tmp_path / "unpickled"
            request = ASGIRequest(pickled_request_metadata=pickle.dumps(Trap(trap)))
            for metadata in ((), (("authorization", "Bearer wrong"),)):
                with pytest.raises(grpc.RpcError) as refused:
                    call(request.SerializeToString(), metadata=metadata, timeout=10)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert not trap.exists()
            token = (("authorization", f"Bearer {cluster.ray.token_file.read_text()}"),)
            with pytest.raises(grpc.RpcError) as accepted:
                call(request.SerializeToString(), metadata=token, timeout=10)
            assert accepted.value.code() is not grpc.StatusCode.UNAUTHENTICATED
            assert trap.exists(), "with the token it is unpickled"
            trap.unlink()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


@pytest.mark.asyncio
async def test_the_ingress_asks_for_the_token_too(cluster: Cluster, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    stranger = ServeVisionExpert(cluster.ingress, token_file)
    await stranger.start()
    for written in ("", "wrong"):
        if written:
            token_file.write_text(written)
        (refused,) = await stranger.inspect(frames(picture(0)), 10)
        assert isinstance(refused, Failure)
        assert refused.error_type == "UNAUTHENTICATED"
    token_file.write_text(cluster.ray.token_file.read_text())
    await answered(stranger)
    await stranger.close()


@pytest.mark.asyncio
async def test_the_client_finds_a_cluster_that_was_restarted(tmp_path: Path) -> None:
    port, ingress = free_port(), f"127.0.0.1:{free_port()}"

    def bring_up() -> Cluster:
        head = start_ray(port=port, token_file=tmp_path / "token", ready_timeout_s=120)
        made = Cluster(head, tmp_path / "artifacts", tmp_path / "exemplars", ingress=ingress)
        digest = save_tiny(made.artifacts)
        deploy(made.config({"tile": digest}, classifier=None), head.address, 300, head.token_file)
        return made

    first = await asyncio.to_thread(bring_up)
    expert = await client(first)
    try:
        await answered(expert)
        head = psutil.Process(first.ray.process.pid)
        family = [head, *head.children(recursive=True)]
        await asyncio.to_thread(first.ray.stop)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        (gone,) = await expert.inspect(frames(picture(0)), 1)
        assert isinstance(gone, Failure)
        with (await asyncio.to_thread(bring_up)).ray:
            await answered(expert)
    finally:
        await expert.close()
        await asyncio.to_thread(first.ray.stop)


def test_a_version_that_is_not_there_fails_the_deployment_with_its_reason(
    ray_head: LocalRay, cluster: Cluster
) -> None:
    broken = Cluster(ray_head, cluster.artifacts, cluster.exemplars, name="broken")
    apps, head = both(cluster, broken), ray_head
    first, then = {**broken.config({}), "applications": apps}, cluster.config({})
    try:
        with pytest.raises(DeployError, match="not in the store"):
            deploy(first, head.address, 300, head.token_file)
    finally:
        deploy({**then, "applications": apps[1:]}, head.address, 300, head.token_file)


def both(cluster: Cluster, other: Cluster) -> list[object]:
    """The broken application first: the one that is waited for."""
    apps = [
        other.config({"tile": "0" * 64}),
        cluster.config({"tile": save_tiny(cluster.artifacts)}),
    ]
    return [a for app in apps for a in app["applications"]]


def test_serve_deploy_takes_our_yaml_from_any_folder(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    digest, ingress = save_tiny(artifacts), f"127.0.0.1:{free_port()}"
    with start_ray(
        dashboard_port=free_port(),
        env={
            "ANDON_PATHS__ARTIFACTS": str(artifacts),
            "ANDON_PATHS__EXEMPLARS": str(tmp_path),
            "ANDON_SERVE__INGRESS": ingress,
        },
        ready_timeout_s=180,
    ) as head:
        config = (
            Path("infra/serve.yaml")
            .read_text()
            .replace(
                "      vision:\n",
                "      vision:\n        loader: tests.serving.ray.tiny:load_tiny\n",
            )
        )
        (tmp_path / "serve.yaml").write_text(config)
        serve = Path(sys.executable).parent / "serve"
        done = subprocess.run(
            [serve, "deploy", "serve.yaml", "--address", head.rest_address],
            cwd=tmp_path,
            env={
                **os.environ,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(head.token_file),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert asyncio.run(_first_answer(ingress, head.token_file)).expert_version == digest


async def _first_answer(ingress: str, token_file: Path) -> Inspection:
    expert = ServeVisionExpert(ingress, token_file)
    await expert.start()
    try:
        return await answered(expert, 120)
    finally:
        await expert.close()


def replicas(head: LocalRay, deployment: str) -> list[psutil.Process]:
    """The replica processes below a head."""
    found = psutil.Process(head.process.pid).children(recursive=True)
    return [p for p in found if p.name().startswith("ray::ServeRepli") and named(p, deployment)]


def named(process: psutil.Process, deployment: str) -> bool:
    return deployment in json.dumps(process.cmdline())
