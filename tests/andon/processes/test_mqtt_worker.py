"""``andon worker mqtt`` as a process, between Kafka and somebody else's MQTT broker."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")

import aiomqtt

from infra.stack.broker import Broker
from infra.stack.process import Process
from streams.envelope import to_message
from streams.kafka.connection import KafkaConnection
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, DECISIONS
from tests.streams.mqtt.broker import PASSWORD, USER, programs, running_mqtt
from tests.streams.roles.limits_policy import decision
from tests.streams.roles.line import producer, send
from tests.streams.roles.test_mqtt import alert
from tests.waiting import until

PARTS = [f"P-{number}" for number in range(5)]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_worker_tells_decisions_and_alerts_and_says_when_it_ends(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    programs()
    servers, told = fresh_broker.bootstrap_servers, asyncio.Queue[tuple[str, bytes]]()
    await ensure_topics(KafkaConnection(servers))
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            told.put_nowait((str(message.topic), message.payload))

    with running_mqtt(tmp_path, login=True) as broker:
        environment = {
            "ANDON_KAFKA__BOOTSTRAP_SERVERS": servers,
            "ANDON_PATHS__STATE": str(tmp_path / "state"),
            "ANDON_MQTT__URL": f"mqtt://{broker.address}",
            "ANDON_MQTT__USERNAME": USER,
            "ANDON_MQTT__PASSWORD_FILE": str(secret),
            "ANDON_GATEWAY__SITE": "aachen",
        }
        command = [sys.executable, "-m", "andon", "worker", "mqtt"]
        async with aiomqtt.Client(
            "127.0.0.1", broker.port, username=USER, password=PASSWORD
        ) as client:
            await client.subscribe("#", qos=1)
            listening = asyncio.create_task(listen(client))
            worker = Process("mqtt worker", command, tmp_path / "worker.log", environment)
            try:
                async with producer(servers) as via:
                    for part in PARTS:
                        one = decision(part_id=part, site="aachen")
                        await send(via, DECISIONS, to_message(one))
                    await send(via, ALERTS, to_message(alert()))
                await until(lambda: told.qsize() >= len(PARTS) + 2, 90, "the messages")
                worker.stop()
                await until(lambda: told.qsize() >= len(PARTS) + 3, 30, "its last word")
            finally:
                worker.stop()
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    heard = [told.get_nowait() for _ in range(told.qsize())]
    decided = [json.loads(said)["part_id"] for topic, said in heard if topic.endswith("/decision")]
    assert decided == PARTS
    assert "andon/aachen/_/press/alert" in {topic for topic, _ in heard}
    states = [json.loads(said) for topic, said in heard if topic.startswith("andon/clients/")]
    assert states == [{"online": True}, {"online": False}]
    assert worker.returncode == 0
