"""The application on a real Ray: calls, swaps, dead replicas, a dead cluster."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

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
from tests.serving.ray.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TEXTS = ClassificationTexts("tile", "hash")


def frames(*images: bytes, product: str = "tile") -> list[InspectionRequest]:
    return [InspectionRequest(uuid4(), product, image) for image in images]


async def client(cluster: Cluster) -> ServeVisionExpert:
    made = ServeVisionExpert(cluster.ray.address, cluster.name, 60.0)
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
async def test_the_classifier_answers_through_the_same_channel(cluster: Cluster) -> None:
    classifier = ServeClassifier(cluster.ray.address, cluster.name, 60.0)
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


@pytest.mark.asyncio
async def test_a_killed_replica_is_waited_for_inside_the_deadline(cluster: Cluster) -> None:
    expert = await client(cluster)
    await expert.inspect(frames(picture(0)), 60)
    (replica,) = replicas(cluster.ray, "VisionExpert")
    replica.kill()
    (short,) = await expert.inspect(frames(picture(0)), 0.5)
    assert isinstance(short, Failure)
    assert (short.reason_code, short.retryable) == (ReasonCode.EXPERT_UNAVAILABLE, True)
    (patient,) = await expert.inspect(frames(picture(0)), 60)
    assert isinstance(patient, Inspection), patient
    await expert.close()


@pytest.mark.asyncio
async def test_a_replica_that_dies_of_an_image_takes_only_that_image_along(
    cluster: Cluster,
) -> None:
    expert = await client(cluster)
    (fatal,) = await expert.inspect(frames(picture(0, side=66)), 2)
    assert isinstance(fatal, Failure)
    (next_part,) = await expert.inspect(frames(picture(0)), 60)
    assert isinstance(next_part, Inspection), next_part
    await expert.close()


@pytest.mark.asyncio
async def test_a_killed_bridge_is_replaced_and_its_calls_repeated(cluster: Cluster) -> None:
    expert = await client(cluster)
    await expert.inspect(frames(picture(0)), 60)
    pid = expert._channel.bridge_pid
    assert pid is not None
    calls = [asyncio.create_task(expert.inspect(frames(picture(0)), 60)) for _ in range(5)]
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    answers = [a for answer in await asyncio.gather(*calls) for a in answer]
    assert [type(a) for a in answers] == [Inspection] * 5
    assert expert._channel.bridge_pid != pid
    last = expert._channel.bridge_pid
    await expert.close()
    assert last is not None
    assert not psutil.pid_exists(last)


@pytest.mark.asyncio
async def test_a_client_without_a_cluster_fails_in_time_and_never_raises() -> None:
    expert = ServeVisionExpert(f"127.0.0.1:{free_port()}", "andon", 5.0)
    (unstarted,) = await expert.inspect(frames(b"x"), 1)
    assert isinstance(unstarted, Failure)
    await expert.start()
    begun = time.monotonic()
    answers = await expert.inspect(frames(b"x", b"y"), 0.3)
    assert time.monotonic() - begun < 1.5
    assert [a.error_type for a in answers if isinstance(a, Failure)] == ["RayUnreachable"] * 2
    await expert.close()


@pytest.mark.asyncio
async def test_the_client_finds_a_cluster_that_was_restarted(tmp_path: Path) -> None:
    port = free_port()

    def bring_up() -> Cluster:
        head = start_ray(port=port, ready_timeout_s=120)
        made = Cluster(head, tmp_path / "artifacts", tmp_path / "exemplars")
        digest = save_tiny(made.artifacts)
        deploy(made.config({"tile": digest}, classifier=None), head.address, 300)
        return made

    first = await asyncio.to_thread(bring_up)
    expert = await client(first)
    try:
        (answer,) = await expert.inspect(frames(picture(0)), 60)
        assert isinstance(answer, Inspection)
        head = psutil.Process(first.ray.process.pid)
        family = [head, *head.children(recursive=True)]
        await asyncio.to_thread(first.ray.stop)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        (gone,) = await expert.inspect(frames(picture(0)), 1)
        assert isinstance(gone, Failure)
        with (await asyncio.to_thread(bring_up)).ray:
            (back,) = await expert.inspect(frames(picture(0)), 60)
            assert isinstance(back, Inspection), back
    finally:
        await expert.close()
        await asyncio.to_thread(first.ray.stop)


def test_a_version_that_is_not_there_fails_the_deployment_with_its_reason(
    ray_head: LocalRay, cluster: Cluster
) -> None:
    broken = Cluster(ray_head, cluster.artifacts, cluster.exemplars, name="broken")
    apps = both(cluster, broken)
    try:
        with pytest.raises(DeployError, match="not in the store"):
            deploy(
                {**broken.config({"tile": "0" * 64}), "applications": apps}, ray_head.address, 300
            )
    finally:
        deploy({**cluster.config({}), "applications": apps[1:]}, ray_head.address, 300)


def both(cluster: Cluster, other: Cluster) -> list[object]:
    """The broken application first: the one that is waited for."""
    apps = [
        other.config({"tile": "0" * 64}),
        cluster.config({"tile": save_tiny(cluster.artifacts)}),
    ]
    return [a for app in apps for a in app["applications"]]


def test_serve_deploy_takes_our_yaml_from_any_folder(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    digest = save_tiny(artifacts)
    with start_ray(
        dashboard_port=free_port(),
        env={"ANDON_PATHS__ARTIFACTS": str(artifacts), "ANDON_PATHS__EXEMPLARS": str(tmp_path)},
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
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = asyncio.run(_first_answer(head))
        assert isinstance(answer, Inspection), answer
        assert answer.expert_version == digest


async def _first_answer(head: LocalRay) -> Inspection | Failure:
    expert = ServeVisionExpert(head.address, "andon", 120.0)
    await expert.start()
    try:
        return (await expert.inspect(frames(picture(0)), 120))[0]
    finally:
        await expert.close()


def replicas(head: LocalRay, deployment: str) -> list[psutil.Process]:
    """The replica processes below a head."""
    found = psutil.Process(head.process.pid).children(recursive=True)
    return [p for p in found if p.name().startswith("ray::ServeRepli") and named(p, deployment)]


def named(process: psutil.Process, deployment: str) -> bool:
    return deployment in json.dumps(process.cmdline())
