"""Messages that no worker sends must cost the line nothing: neither its link nor its followers."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.decision_feed import KafkaDecisionFeed
from connectors.handshake.signals import Signal
from connectors.settings import GatewaySettings
from infra.stack.broker import Broker
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from streams.changeovers import ChangeoverStep
from streams.codes import FaultCode
from streams.envelope import to_message
from streams.events import Alert, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ALERTS, DECISIONS
from tests.connectors.line import at_once, decision_for, frame_on, running_line
from tests.fuzz.messages import BRACKETS
from tests.waiting import until

PLC = PlcConfig(takt_s=0.05, window_s=10.0)
ROOMY = GatewaySettings(result_window_ms=10000)


def said(told: Sequence[Mapping[str, Any]], event: str) -> int:
    return sum(row["event"] == event for row in told)


class Overheard(KafkaDecisionFeed):
    """The feed over Kafka, in place of the bus's own."""

    def tell(self, event: Decision | Alert | ChangeoverStep) -> None:
        """The bus's decisions go to nobody: what counts here is on Kafka."""


@pytest.mark.asyncio
async def test_poisoned_topics_cost_no_connection_and_no_part(
    tmp_path: Path, fresh_broker: Broker
) -> None:
    connection = KafkaConnection(fresh_broker.bootstrap_servers, fetch_max_wait_ms=10)
    await ensure_topics(connection, topics=[DECISIONS, ALERTS])
    publisher = KafkaPublisher(connection)
    try:
        async with running_line(tmp_path, PLC, config=ROOMY) as line:
            line.bus.feed = Overheard(connection, "line1", "station1", lookback_s=60.0)
            await line.start_gateway()
            await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
            await until(lambda: len(line.bus.frames) == 1)
            sound = to_message(decision_for(line.bus.frames[0]))
            fields = json.loads(sound.value)
            look = {"score": 1e39, "threshold": 1, "p_value": 0, "anomalous": True}
            with capture_logs() as told:
                for topic in (DECISIONS, ALERTS):
                    await publisher.send(topic.name, replace(sound, value=BRACKETS))
                for wrong in (
                    {"class_id": 1 << 31},
                    {"inspection": {**look, "expert_version": "1"}},
                    {"decided_at": "0001-01-01T00:00:00+14:00"},
                ):
                    value = json.dumps({**fields, **wrong}).encode()
                    await publisher.send(DECISIONS.name, replace(sound, value=value))
                await publisher.send(DECISIONS.name, sound)
                await line.plc.settled(1)
                await until(lambda: said(told, "feed.unreadable") == 5)
            (entry,) = entries_of(line.plc.ledger.rows)
            assert (entry.action, entry.source, len(entry.results)) == ("pass", "expert", 1)
            assert said(told, "plc.link_lost") == 0
            assert line._task is not None
            assert not line._task.done()
    finally:
        await publisher.stop()


class Dying:
    """A feed that dies ``deaths`` times before it follows."""

    def __init__(self, inner: KafkaDecisionFeed, deaths: int) -> None:
        self._inner = inner
        self._deaths = deaths

    def tell(self, event: Decision | Alert | ChangeoverStep) -> None:
        self._inner.tell(event)

    async def __aiter__(self) -> AsyncIterator[Decision | Alert]:
        self._deaths -= 1
        if self._deaths >= 0:
            raise RuntimeError("a defect of the reader")
        async for event in self._inner:
            yield event


@pytest.mark.asyncio
async def test_a_feed_that_dies_is_a_fault_and_is_begun_again(tmp_path: Path) -> None:
    async with running_line(tmp_path, PLC, config=ROOMY) as line:
        line.bus.answer = at_once
        line.bus.feed = Dying(line.bus.feed, deaths=4)
        await line.start_gateway(ready=False)

        def shown() -> int:
            return int(line.plc.gateway(Signal.FAULT_CODE))

        assert await line.plc.wait_for(lambda: shown() == FaultCode.FOLLOWER, 10)
        assert await line.plc.wait_for(lambda: line.plc.ready and shown() == 0, 20)
        await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
        await line.plc.settled(1)
        assert entries_of(line.plc.ledger.rows)[0].source == "expert"


@pytest.mark.asyncio
async def test_an_event_that_the_gateway_cannot_use_stops_none_behind_it(
    tmp_path: Path,
) -> None:
    with capture_logs() as told:
        async with running_line(tmp_path, PLC, config=ROOMY) as line:
            await line.start_gateway()
            unusable = decision_for(frame_on("line1")).model_copy(update={"decided_at": "x"})
            line.bus.feed.tell(unusable)
            line.bus.answer = at_once
            await line.plc.trigger(PlannedPart(part_id="a", product_id="demo"))
            await line.plc.settled(1)
            assert entries_of(line.plc.ledger.rows)[0].source == "expert"
    assert (said(told, "feed.refused"), said(told, "follower.died")) == (1, 0)
