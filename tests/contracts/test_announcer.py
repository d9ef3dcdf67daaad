"""The contract of ``streams.ports.Announcer``: the twin and the one over MQTT keep it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from infra.stack.process import free_port
from streams.errors import UnavailableError
from streams.failures import Cause, PermanentError
from streams.mqtt.settings import MqttSettings
from streams.ports import Announcer
from tests.contracts.twins.announcer import TwinAnnouncer
from tests.waiting import until

Said = list[tuple[str, bytes]]


class TwinAnnouncing:
    """The twin, down for as long as it is told."""

    def __init__(self) -> None:
        self.twin = TwinAnnouncer()

    @asynccontextmanager
    async def announcer(self) -> AsyncIterator[Announcer]:
        yield self.twin

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Said]:
        self.twin.down = False
        yield self.twin.announced
        self.twin.down = True


class MqttAnnouncing:
    """A broker that can be away, and one announcer over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()

    @asynccontextmanager
    async def announcer(self) -> AsyncIterator[Announcer]:
        from streams.mqtt.announcer import MqttAnnouncer

        url = f"mqtt://127.0.0.1:{self.port}"
        made = MqttAnnouncer(MqttSettings(url=url, timeout_s=2, most_kib=1), "twin")
        await made.start()
        try:
            yield made
        finally:
            await made.close()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Said]:
        from tests.streams.mqtt.broker import running_mqtt, subscribed

        with running_mqtt(self.folder, self.port):
            async with subscribed(self.port, "line/#") as heard:
                yield heard.messages


@pytest.fixture(params=["twin", "mqtt"])
def announcing(request: pytest.FixtureRequest, tmp_path: Path) -> TwinAnnouncing | MqttAnnouncing:
    if request.param == "twin":
        return TwinAnnouncing()
    pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")
    from tests.streams.mqtt.broker import programs

    programs()
    return MqttAnnouncing(tmp_path)


@pytest.mark.asyncio
async def test_what_is_announced_arrives_as_it_was_and_in_order(
    announcing: TwinAnnouncing | MqttAnnouncing,
) -> None:
    messages = [(f"line/{n % 2}", bytes([n]) * n) for n in range(30)]
    async with announcing.up() as said, announcing.announcer() as announcer:
        for topic, payload in messages:
            await announcer.announce(topic, payload)
        await until(lambda: len(said) >= 30, what="every message")
        assert said == messages


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_said_and_used_again(
    announcing: TwinAnnouncing | MqttAnnouncing,
) -> None:
    async with AsyncExitStack() as stack:
        async with announcing.up():
            announcer = await stack.enter_async_context(announcing.announcer())
            await announcer.announce("line/1", b"before")
        with pytest.raises(UnavailableError):
            await announcer.announce("line/1", b"meanwhile")
        async with announcing.up() as said:
            await eventually_announces(announcer, b"after")
            await until(lambda: ("line/1", b"after") in said, what="the message")
            await stack.aclose()


@pytest.mark.asyncio
async def test_one_message_that_is_refused_costs_no_other(
    announcing: TwinAnnouncing | MqttAnnouncing,
) -> None:
    bad = [("line/1", bytes(1025)), ("line/#", b"x")]
    good = [("line/1", b"%d" % n) for n in range(20)]
    async with announcing.up() as said, announcing.announcer() as announcer:
        sends = [announcer.announce(*one) for one in (*good[:10], *bad, *good[10:])]
        results = await asyncio.gather(*sends, return_exceptions=True)
        errors = [r for r in results if isinstance(r, BaseException)]
        assert all(isinstance(error, PermanentError) for error in errors)
        causes = [error.cause for error in errors if isinstance(error, PermanentError)]
        assert causes == [Cause.TOO_LARGE, Cause.INVALID]
        await until(lambda: len(said) >= 20, what="every other message")
        assert sorted(said) == sorted(good)


async def eventually_announces(announcer: Announcer, payload: bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await announcer.announce("line/1", payload)
                return
            except UnavailableError:
                await asyncio.sleep(0.1)
