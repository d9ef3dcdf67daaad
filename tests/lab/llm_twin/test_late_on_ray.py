"""A late answer over a real Ray Serve with two actors, of which one holds it."""

import asyncio
from pathlib import Path

import pytest

from infra.stack.ray_local import start_ray
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer
from serving.ray.client import ServeClassifier
from serving.ray.deploy import deploy
from streams.events import Decision
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig
from streams.roles.metrics import RoleMetrics
from streams.roles.outbox import Outbox
from streams.topics import DECISIONS
from tests.lab.llm_twin.test_late_flow import (
    LATENCY_MS,
    BracketPolicies,
    cracked,
    is_a_fallback_in_time,
    is_late_and_complete,
    options,
)
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.tiny import save_tiny
from tests.serving.ray.waiting import until
from tests.streams.roles.twins import TwinPublisher, delivery

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(600)]


async def test_each_part_is_named_afterwards_whichever_actor_holds_the_answer(
    server: TwinServer, tmp_path: Path
) -> None:
    server.twin.behaviour = Behaviour(latency_ms=LATENCY_MS)
    with start_ray(ready_timeout_s=180) as head:
        cluster = Cluster(head, tmp_path / "artifacts", tmp_path / "exemplars")
        cluster.exemplars.mkdir()
        products = {"tile": save_tiny(cluster.artifacts)}
        config = cluster.config(products, classifier={"kind": "velm", "options": options(server)})
        config["applications"][0]["deployments"][1]["num_replicas"] = 2
        await asyncio.to_thread(deploy, config, head.address, 300)

        client = ServeClassifier(head.address, cluster.name, 5.0)
        await client.start()
        assert await client.wait_connected(60)
        publisher, metrics = TwinPublisher(), RoleMetrics("test")
        flow = FlowConfig(late_grace_s=0.1, late_poll_s=0.1)
        outbox = Outbox(publisher, metrics, flow, lambda *_, **__: None)
        role = ClassifyRole(client, BracketPolicies(), outbox, metrics, flow, late=client)

        def decisions() -> list[Decision]:
            return [e for e, _ in publisher.of(DECISIONS.name) if isinstance(e, Decision)]

        try:
            # Serve's handle looks for its replicas with its first call
            await client.late_answers([], 30)
            parts = [cracked(n) for n in range(1, 5)]
            await asyncio.gather(*(role.handle(delivery(a, image)) for a, image in parts))
            await until(lambda: len(decisions()) == 2 * len(parts))
        finally:
            await role.close()
            await client.close()
        sent = {anomaly.frame.frame_id: anomaly for anomaly, _ in parts}
        for decision in decisions()[: len(parts)]:
            is_a_fallback_in_time(decision, sent[decision.frame_id])
        for decision in decisions()[len(parts) :]:
            is_late_and_complete(decision, sent.pop(decision.frame_id))
        assert not sent
        assert server.twin.counters.requests == len(parts)
