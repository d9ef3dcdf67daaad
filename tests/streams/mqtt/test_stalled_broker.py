"""A broker that stands and answers, and acknowledges nothing, or ends connections at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")

from streams.failures import TransientError
from streams.mqtt import announcer as module
from streams.mqtt.announcer import MqttAnnouncer
from streams.mqtt.settings import MqttSettings
from tests.streams.mqtt.raw_broker import RawBroker, raw_broker
from tests.waiting import until

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def announcing(broker: RawBroker, **own: object) -> AsyncIterator[MqttAnnouncer]:
    settings = MqttSettings.model_validate({"url": f"mqtt://127.0.0.1:{broker.port}", **own})
    made = MqttAnnouncer(settings, "worker-0")
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def test_what_is_not_acknowledged_is_asked_for_over_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over the old one each repetition would queue behind all of before, in memory."""
    monkeypatch.setattr(module, "backoff_s", lambda *_, **__: 0.001)
    async with raw_broker() as broker, announcing(broker, timeout_s=0.5) as made:
        broker.acknowledges = lambda topic: topic.startswith("andon/clients")
        for number in range(1, 4):
            said = [made.announce(f"line/{n}", b"1") for n in range(40)]
            failed = await asyncio.gather(*said, return_exceptions=True)
            assert all(isinstance(one, TransientError) for one in failed)
            await until(lambda wanted=number + 1: broker.connections == wanted)
        broker.acknowledges = lambda topic: True
        await made.announce("line/0", b"2")
        states = [json.loads(state)["online"] for state in broker.of(made.state_topic)]
    assert broker.of("line/0")[-1] == b"2"
    assert states == [True, False, True, False, True, False, True], "what is retained is true"


async def test_a_message_that_waited_for_the_connection_ends_none() -> None:
    async with raw_broker() as broker, announcing(broker, timeout_s=0.5) as made:
        broker.answers_connections.clear()
        broker.acknowledges = lambda topic: topic.startswith("andon/clients")
        early = asyncio.create_task(made.announce("line/1", b"1"))
        await asyncio.sleep(0.35)
        broker.answers_connections.set()
        with pytest.raises(TransientError):
            await early
        broker.acknowledges = lambda topic: True
        await made.announce("line/1", b"2")
        assert broker.connections == 1


async def test_a_connection_that_ends_at_each_message_is_not_begun_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[int] = []

    def pause(attempt: int, *_: float, jitter: float = 0.0) -> float:
        pauses.append(attempt)
        return 0.001

    monkeypatch.setattr(module, "backoff_s", pause)
    async with raw_broker() as broker, announcing(broker) as made:
        broker.ends_at = lambda topic: topic == "line/1"
        for _ in range(5):
            with pytest.raises(TransientError):
                await made.announce("line/1", b"1")
        await until(lambda: len(pauses) >= 5)
    assert pauses[:5] == [0, 1, 2, 3, 4]
