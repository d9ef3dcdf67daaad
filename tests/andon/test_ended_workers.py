"""A worker that has ended on this host is at work no more, whatever the broker still counts."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from andon.checks import examine
from andon.processes.instance import claimed_instance, ended_here
from andon.settings import Settings
from infra.stack.broker import Broker
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import app_id
from streams.kafka.topic_admin import ensure_topics
from streams.topics import FRAMES
from tests.waiting import until


async def joined(servers: str, role: str, name: str) -> AIOKafkaConsumer:
    """A static member of the role's group, as Faust makes one, that has joined."""
    consumer = AIOKafkaConsumer(
        FRAMES.name,
        bootstrap_servers=servers,
        group_id=app_id(role),
        client_id=app_id(role),
        group_instance_id=name,
        rebalance_timeout_ms=2000,
    )
    await consumer.start()
    await until(lambda: bool(consumer.assignment()), 30)
    return consumer


@pytest.mark.asyncio
async def test_the_doctor_does_not_count_who_ended(fresh_broker: Broker, tmp_path: Path) -> None:
    servers = fresh_broker.bootstrap_servers
    settings = Settings.model_validate(
        {"kafka": {"bootstrap_servers": servers}, "paths": {"state": tmp_path}}
    )
    await ensure_topics(KafkaConnection(servers), None, [FRAMES])
    consumers, held = [], {role: ExitStack() for role in ("inspect", "classify")}
    for role, names in held.items():
        name = names.enter_context(claimed_instance(role, "", tmp_path)).name
        consumers.append(await joined(servers, role, name))
    (found,) = await examine(settings, ["workers"])
    assert (found.ok, "inspect 1, classify 1" in found.detail) == (True, True), found
    for consumer in consumers:
        await consumer.stop()  # a static member does not leave its group
    held["classify"].close()
    (found,) = await examine(settings, ["workers"])
    assert (found.ok, found.detail) == (False, "no worker in the consumer groups for: classify")
    held["inspect"].close()


def test_names_that_were_given_may_run_elsewhere_by_now(tmp_path: Path) -> None:
    assert ended_here(tmp_path) == {}
    with (
        claimed_instance("inspect", "left", tmp_path),
        claimed_instance("record", "", tmp_path) as made,
    ):
        assert ended_here(tmp_path) == {}
    assert ended_here(tmp_path) == {"record": {made.name}}
