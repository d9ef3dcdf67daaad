"""The mqtt role between a real Kafka broker and a real MQTT broker: none lost by either's end."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")

from infra.stack.broker import Broker
from infra.stack.process import free_port
from streams.envelope import to_message
from streams.kafka.connection import KafkaConnection
from streams.kafka.topic_admin import ensure_topics
from streams.mqtt.announcer import MqttAnnouncer
from streams.mqtt.settings import MqttSettings
from streams.roles.mqtt import ANNOUNCED, MqttConfig, MqttRole
from streams.roles.results import Results
from streams.roles.runner import RoleRunner
from streams.topics import DECISIONS
from tests.streams.mqtt.broker import Heard, programs, running_mqtt, subscribed
from tests.streams.roles.limits_policy import decision
from tests.streams.roles.line import config, producer, running, send
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]
EACH = 40


def parts_of(heard: Heard) -> set[str]:
    decided = [payload for topic, payload in heard.messages if topic.endswith("/decision")]
    return {json.loads(payload)["part_id"] for payload in decided}


async def test_neither_the_workers_end_nor_the_brokers_loses_a_decision(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """Each part has a station, so that the MQTT broker keeps every decision for its subscriber."""
    programs()
    servers, port = fresh_broker.bootstrap_servers, free_port()
    await ensure_topics(KafkaConnection(servers))
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{port}", timeout_s=1, retain=True)
    own = config("mqtt", servers, tmp_path, retry_s=0.05, retry_cap_s=0.2, stop_timeout_s=0.5)

    @asynccontextmanager
    async def working() -> AsyncIterator[RoleRunner]:
        announcer = MqttAnnouncer(settings, "worker-0")
        await announcer.start()
        try:
            async with running(own, ANNOUNCED, partial(_role, announcer)) as runner:
                yield runner
        finally:
            await announcer.close()

    async def decide(name: str) -> set[str]:
        parts = {f"{name}-{n}" for n in range(EACH)}
        for part in parts:
            await send(via, DECISIONS, to_message(decision(part_id=part, station=part)))
        return parts

    async def heard_all(parts: set[str]) -> None:
        with running_mqtt(tmp_path, port):
            async with subscribed(port, "andon/#") as heard:
                await until(lambda: parts_of(heard) >= parts, 60, "every decision")

    async with producer(servers) as via:
        before = await decide("before")
        async with working() as worker:  # nobody listens: nothing may be acknowledged at Kafka
            await until(lambda: taken(worker) >= EACH, 60, "the worker has them")
        async with working():
            await heard_all(before | await decide("between"))
            await heard_all(await decide("away"))


def _role(announcer: MqttAnnouncer, results: Results) -> MqttRole:
    return MqttRole(announcer, results, MqttConfig())


def taken(worker: RoleRunner) -> float:
    """How many decisions the worker has read."""
    labels = {"role": "mqtt", "topic": DECISIONS.name}
    return worker.telemetry.registry.get_sample_value("andon_events_total", labels) or 0.0
