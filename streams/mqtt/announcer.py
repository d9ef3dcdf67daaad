"""The ``Announcer`` over aiomqtt: one supervised connection, QoS 1, a retained state."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final

import aiomqtt
import structlog

from streams.backoff import backoff_s
from streams.errors import AndonError
from streams.failures import Cause, PermanentError, TransientError, failed
from streams.log import Outage
from streams.mqtt.settings import MqttSettings
from streams.tls import client_context

log = structlog.get_logger(__name__)
AT_LEAST_ONCE: Final = 1
"""The broker acknowledges each message (PUBACK); one that it did not is sent again."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
_LOGIN_CODES: Final = ("not authorized", "not authorised", "bad user name", "identifier rejected")


class MqttSecurityError(AndonError):
    """A certificate or key of the MQTT settings cannot be used."""


class MqttAnnouncer:
    """Announces to one broker, and connects anew for as long as it runs.

    Topic ``PREFIX/clients/CLIENT`` holds whether this client is online, retained. The broker
    itself says that it is not, should the connection die (the client's last will).

    Args:
        settings: of the broker.
        client_id: what the broker calls this client.
    """

    def __init__(self, settings: MqttSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        ca, cert, key = settings.ca_file, settings.cert_file, settings.key_file
        self._tls = (
            client_context(ca, cert, key, "MQTT", MqttSecurityError)
            if settings.is_encrypted
            else None
        )
        self._session: asyncio.Future[_Session] | None = None
        self._running: asyncio.Task[None] | None = None
        self._why = "not connected yet"
        self._cause = Cause.AWAY
        self.state_topic = f"{settings.topic_prefix}/clients/{client_id}"

    async def start(self) -> None:
        """Begin to connect; messages wait for the connection, each within its own time."""
        self._session = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(), name="mqtt connection")

    async def close(self) -> None:
        """Say that the client is offline, and disconnect."""
        session = self._session
        if session is not None and session.done() and not session.result().lost.done():
            with contextlib.suppress(aiomqtt.MqttError):
                await self._say_online(session.result().client, False)
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def announce(self, topic: str, payload: bytes) -> None:
        """Returns once the broker has acknowledged the message.

        Raises:
            TransientError: the broker is away, or did not acknowledge in time.
            PermanentError: the message is too large, or its topic is none.
        """
        settings, session, sent_at = self._settings, None, 0.0
        if len(payload) > settings.most_kib * 1024:
            raise PermanentError(Cause.TOO_LARGE, f"{topic}: {len(payload)} bytes")
        try:
            async with asyncio.timeout(settings.timeout_s):
                session = await self._connected()
                sent_at = asyncio.get_running_loop().time()
                patience = 2 * settings.timeout_s  # of aiomqtt, whose own is over later than ours
                sent = session.client.publish(
                    topic, payload, AT_LEAST_ONCE, settings.retain, timeout=patience
                )
                await _unless_lost(sent, session.lost)
        except ValueError as error:  # paho's word on a topic or payload that MQTT has not
            raise failed(Cause.INVALID, f"{topic}: {error}") from error
        except TimeoutError:
            waited_s = asyncio.get_running_loop().time() - sent_at
            if session is not None and waited_s > settings.timeout_s / 2:  # else for the connection
                session.stall()
            raise TransientError(self._cause, f"{settings.url}: {self._why}") from None
        except aiomqtt.MqttError as error:
            raise TransientError(Cause.AWAY, f"{settings.url}: {error}") from error

    async def _connected(self) -> "_Session":
        assert self._session is not None, "announce before start"
        return await asyncio.shield(self._session)

    async def _run(self) -> None:
        """One connection after the other, with a pause that grows while none stands for long."""
        now = asyncio.get_running_loop().time
        outage, attempt = Outage(now), 0
        while True:
            stood_since = None
            try:
                async with self._client() as client:
                    await self._say_online(client, True)
                    stood_since = now()
                    if (told := outage.ended()) is not None:
                        log.info("mqtt.back", broker=self._settings.url, seconds=told.seconds)
                    await self._serve(client)
            except (aiomqtt.MqttError, OSError) as error:
                self._why, self._cause = str(error), _cause(error)
                if (new := outage.failed(self._why)) is not None:
                    log.warning(
                        "mqtt.away",
                        broker=self._settings.url,
                        why=self._why,
                        failures=new.failures,
                    )
            if stood_since is not None and now() - stood_since >= LONGEST_PAUSE_S:
                attempt = 0
            await asyncio.sleep(backoff_s(attempt, FIRST_PAUSE_S, LONGEST_PAUSE_S, jitter=0.3))
            attempt += 1

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Until the connection is lost: whoever waits for an acknowledgement learns it at once.

        One over which no acknowledgement came in time is given up: what is said again would queue
        in it behind all that was said before, and be sent as often.
        """
        assert self._session is not None
        loop = asyncio.get_running_loop()
        session = _Session(client, loop.create_future(), loop.create_future())
        self._session.set_result(session)
        ending = asyncio.create_task(_ended(client))
        try:
            await asyncio.wait({ending, session.stalled}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                ending.result()
                return
            with contextlib.suppress(aiomqtt.MqttError):  # a clean end has no last will
                await client.publish(self.state_topic, _state(False), qos=0, retain=True)
            raise aiomqtt.MqttError(f"no acknowledgement within {self._settings.timeout_s:g} s")
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
            self._session = loop.create_future()
            session.lost.set_result(None)

    async def _say_online(self, client: aiomqtt.Client, is_online: bool) -> None:
        await client.publish(self.state_topic, _state(is_online), AT_LEAST_ONCE, retain=True)

    def _client(self) -> aiomqtt.Client:
        """A new client for each connection: one that is used again sends what it had again."""
        own, place = self._settings, self._settings.place
        client = aiomqtt.Client(
            place.host.strip("[]"),
            place.port or 1883,
            username=own.username or None,
            password=own.password.get_secret_value() or None,
            identifier=self._client_id,
            will=aiomqtt.Will(self.state_topic, _state(False), AT_LEAST_ONCE, retain=True),
            timeout=own.timeout_s,
            keepalive=own.keepalive_s,
            tls_context=self._tls,
        )
        client.pending_calls_threshold = 1 << 16  # how many wait is a metric of the role
        return client


@dataclass(frozen=True)
class _Session:
    """One connection, and the moments that it is lost and that it is of no use."""

    client: aiomqtt.Client
    lost: "asyncio.Future[None]"
    stalled: "asyncio.Future[None]"

    def stall(self) -> None:
        """No acknowledgement came in time."""
        if not self.stalled.done():
            self.stalled.set_result(None)


async def _ended(client: aiomqtt.Client) -> None:
    """Nothing is subscribed to: the messages end with the connection."""
    async for _ in client.messages:
        pass


async def _unless_lost(sent: Coroutine[object, object, None], lost: "asyncio.Future[None]") -> None:
    sending = asyncio.ensure_future(sent)
    try:
        await asyncio.wait({sending, lost}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        else:
            raise aiomqtt.MqttError("the connection was lost before the acknowledgement")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def _state(is_online: bool) -> bytes:
    return json.dumps({"online": is_online}).encode()


def _cause(error: Exception) -> Cause:
    said = str(error).lower()
    return Cause.LOGIN if any(code in said for code in _LOGIN_CODES) else Cause.AWAY
