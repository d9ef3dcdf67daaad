"""The announcer over somebody else's broker: logins, TLS, the state, and cuts."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")

from infra.stack.certificates import LocalAuthority
from infra.stack.process import Process
from streams.failures import Cause, TransientError
from streams.mqtt.announcer import MqttAnnouncer, MqttSecurityError
from streams.mqtt.settings import MqttSettings
from tests.streams.mqtt.broker import PASSWORD, USER, programs, running_mqtt, subscribed
from tests.waiting import until

ONLINE, OFFLINE = {"online": True}, {"online": False}
CLIENT = """
import asyncio
from streams.mqtt.announcer import MqttAnnouncer
from streams.mqtt.settings import MqttSettings

async def main():
    announcer = MqttAnnouncer(MqttSettings(url="mqtt://127.0.0.1:%d"), "killed")
    await announcer.start()
    await announcer.announce("line/1", b"said")
    print("said", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _broker() -> None:
    programs()


@asynccontextmanager
async def announcing(**own: object) -> AsyncIterator[MqttAnnouncer]:
    made = MqttAnnouncer(MqttSettings.model_validate(own), "worker-0")
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.asyncio
async def test_whether_it_is_online_is_kept_for_who_comes_later(tmp_path: Path) -> None:
    with running_mqtt(tmp_path) as broker:
        async with announcing(url=f"mqtt://{broker.address}") as announcer:
            await announcer.announce("andon/x", b"1")
            async with subscribed(broker.port, "andon/clients/#") as heard:
                await until(lambda: bool(heard.messages), what="the retained state")
                assert heard.messages[0][0] == announcer.state_topic == "andon/clients/worker-0"
                assert json.loads(heard.messages[0][1]) == ONLINE
        async with subscribed(broker.port, "andon/clients/#") as heard:  # some brokers repeat it
            await until(lambda: bool(heard.messages), what="the state after its end")
            assert json.loads(heard.messages[0][1]) == OFFLINE


@pytest.mark.asyncio
async def test_a_killed_one_is_offline_by_its_last_will(tmp_path: Path) -> None:
    with running_mqtt(tmp_path) as broker:
        async with subscribed(broker.port) as heard:
            log = tmp_path / "client.log"
            client = Process("client", [sys.executable, "-c", CLIENT % broker.port], log)
            try:
                await until(lambda: "said" in client.tail(), 60, "its first message")
            finally:
                client.kill()
            states = "andon/clients/killed"
            await until(lambda: len(heard.under(states)) == 2, what="the last will")
            assert [json.loads(state) for state in heard.under(states)] == [ONLINE, OFFLINE]


@pytest.mark.asyncio
async def test_a_user_logs_in_and_another_is_refused(tmp_path: Path) -> None:
    with running_mqtt(tmp_path, login=True) as broker:
        own = {"url": f"mqtt://{broker.address}", "username": USER, "timeout_s": 1}
        async with announcing(**own, password=PASSWORD) as announcer:
            await announcer.announce("line/1", b"1")
        async with announcing(**own, password="wrong") as announcer:
            with pytest.raises(TransientError) as refused:
                await announcer.announce("line/1", b"2")
            assert refused.value.cause is Cause.LOGIN


@pytest.mark.asyncio
@pytest.mark.filterwarnings(  # paho leaves the socket of a failed handshake to the collector
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
async def test_the_brokers_certificate_is_judged(tmp_path: Path) -> None:
    own, other = (LocalAuthority(tmp_path / name).open() for name in ("own", "other"))
    pair = own.issue("broker")
    with running_mqtt(tmp_path, tls=pair) as broker:
        url = f"mqtts://{broker.address}"
        async with announcing(url=url, ca_file=own.ca, timeout_s=5) as announcer:
            await announcer.announce("line/1", b"1")
        async with announcing(url=url, ca_file=other.ca, timeout_s=1) as announcer:
            with pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED"):
                await announcer.announce("line/1", b"2")


@pytest.mark.asyncio
async def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(MqttSecurityError, match=r"ANDON_MQTT__CA_FILE: .*ca\.pem holds no PEM"):
        MqttAnnouncer(MqttSettings(url="mqtts://broker", ca_file=file), "worker-0")


@pytest.mark.asyncio
async def test_a_cut_is_told_at_once_to_who_waits_for_an_acknowledgement(tmp_path: Path) -> None:
    """A broker that takes the connection and never acknowledges, then closes it."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)  # CONNECT
        writer.write(b"\x20\x02\x00\x00")  # CONNACK
        await reader.readexactly(2 + len(b"andon/clients/worker-0") + 2 + 2 + 16)
        writer.write(b"\x40\x02\x00\x01")  # PUBACK of the state
        await reader.read(1024)  # the message
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, announcing(url=f"mqtt://127.0.0.1:{port}", timeout_s=60) as announcer:
        async with asyncio.timeout(10):
            with pytest.raises(TransientError, match="before the acknowledgement"):
                await announcer.announce("line/1", b"1")
