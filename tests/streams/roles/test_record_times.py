"""A sender whose records are stamped in nanoseconds, or not at all, costs no part its decision."""

import time
from pathlib import Path

import pytest

from infra.stack.broker import Broker
from streams.codes import DecisionSource
from streams.envelope import to_message
from streams.events import Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.topic_admin import ensure_topics
from streams.roles.inspect import InspectRole
from streams.roles.results import Results
from streams.topics import DEAD, DECISIONS, FRAMES
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import frame
from tests.streams.roles.line import config, producer, reading, running
from tests.waiting import until


def role(results: Results) -> InspectRole:
    return InspectRole(TwinExpert(), TwinPolicies(), results)


@pytest.mark.asyncio
async def test_a_time_that_is_none_is_not_believed(fresh_broker: Broker, tmp_path: Path) -> None:
    servers = fresh_broker.bootstrap_servers
    await ensure_topics(KafkaConnection(servers))
    sent = [frame(window_ms=60_000) for _ in range(3)]
    async with producer(servers) as via:
        for one, at_ms in zip(sent, (time.time_ns(), None, 0), strict=True):
            message = to_message(one, b"a picture")
            headers = list(message.headers)
            await via.send_and_wait(
                FRAMES.name, message.value, message.key, headers=headers, timestamp_ms=at_ms
            )
    async with (
        reading(servers, DECISIONS, DEAD) as seen,
        running(config("inspect", servers, tmp_path), [FRAMES], role),
    ):
        await until(lambda: len(seen.of(DECISIONS)) + len(seen.of(DEAD)) >= 3, 30)
    decided = [one for one in seen.of(DECISIONS) if isinstance(one, Decision)]
    assert {one.frame_id for one in decided} == {one.frame_id for one in sent}
    assert {one.source for one in decided} == {DecisionSource.EXPERT}
    assert not seen.of(DEAD)
    assert not any(one.is_late for one in decided)
