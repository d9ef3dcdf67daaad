"""The ``Publisher`` of every process that runs no Faust app."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, KafkaError

from streams.cancellation import asked_to_end
from streams.envelope import Message
from streams.failures import Cause, TransientError
from streams.kafka.alone import renumber, send_alone
from streams.kafka.connection import BATCH_BYTES, DOWN, KafkaConnection, abandon, stop_client
from streams.kafka.failures import is_of_its_batch, kafka_failure

log = structlog.get_logger(__name__)
_CONNECTING = 3
"""Connecting takes several round trips: so many times the time of one request."""


@dataclass(eq=False)
class _Session:
    """One producer, until it is stuck."""

    producer: AIOKafkaProducer
    lost: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    quickest_s: float | None = None
    """How long the quickest message took; None before the first."""

    def time_for(self, outstanding: int, connection: KafkaConnection) -> float:
        """Seconds until what it has must have arrived, connecting anew included."""
        time_s = connection.time_for(outstanding)
        if self.quickest_s is None:
            return _CONNECTING * time_s
        return time_s + _CONNECTING * self.quickest_s


class KafkaPublisher:
    """``Publisher`` over aiokafka. Connects at the first message, and again after an outage.

    A message may take the longer, the larger it and those before it are. One that takes longer
    than its bytes need on the slowest good link proves that the connection is stuck: it is cut, so
    that nothing is sent twice on it, and the next message opens another.
    """

    def __init__(self, connection: KafkaConnection, batch_bytes: int = BATCH_BYTES) -> None:
        """Args:
        connection: where the brokers are.
        batch_bytes: messages that wait together travel as one batch, of at most so many bytes.
        """
        self._connection, self._batch_bytes = connection, batch_bytes
        self._session: _Session | None = None
        self._outstanding = 0
        """Bytes that it was given and the broker has not said to have."""
        self._connecting = asyncio.Lock()
        self._abandoned: set[asyncio.Task[None]] = set()

    async def send(self, topic: str, message: Message) -> None:
        """Returns once every in-sync replica has it.

        Raises:
            TransientError: the broker did not answer in time, or may take it another time.
            PermanentError: it refuses this message, whatever is sent beside it.
        """
        self._outstanding += len(message.value)
        try:
            session = self._session or await self._connect()
            await asyncio.sleep(0)  # those that were given with it count for its time as well
            await self._within_time(session, topic, message)
        except (*DOWN, TypeError, ValueError, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            raise self._failure(error, topic) from error
        finally:
            self._outstanding -= len(message.value)

    async def start(self) -> None:
        """Connect now. Without it the first message does. Raises ``TransientError``."""
        try:
            await self._connect()
        except DOWN as error:
            raise self._failure(error) from error

    async def stop(self) -> None:
        """Messages not sent yet are given up: their senders have been told."""
        session, self._session = self._session, None
        for task in self._abandoned:
            task.cancel()
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        if session is not None:
            await stop_client(session.producer, self._connection.request_timeout_s)

    async def _within_time(self, session: _Session, topic: str, message: Message) -> None:
        time_s = session.time_for(self._outstanding, self._connection)
        began = time.monotonic()
        sending = asyncio.ensure_future(_send(session.producer, topic, message))
        try:
            await asyncio.wait(
                {sending, session.lost}, timeout=time_s, return_when=asyncio.FIRST_COMPLETED
            )
            if sending.done():
                sending.result()
                took_s = time.monotonic() - began
                session.quickest_s = min(took_s, session.quickest_s or took_s)
                return
            self._give_up(session, topic, len(message.value))
            raise TransientError(Cause.AWAY, self._where(topic) + f": no answer in {time_s:.1f} s")
        finally:
            if not sending.done():
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, *DOWN):
                    await sending

    def _give_up(self, session: _Session, topic: str, size: int) -> None:
        """The session's connections are stuck: those that wait for it learn it together."""
        if session.lost.done():
            return
        session.lost.set_result(None)
        log.warning("kafka.stuck", topic=topic, size=size, outstanding=self._outstanding)
        if self._session is session:
            self._session = None
        task = asyncio.create_task(
            abandon(session.producer, self._connection.request_timeout_s), name="kafka abandon"
        )
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)

    async def _connect(self) -> _Session:
        async with self._connecting:
            if self._session is None:
                producer = self._connection.producer(self._batch_bytes)
                try:
                    async with asyncio.timeout(_CONNECTING * self._connection.request_timeout_s):
                        await producer.start()
                except BaseException:
                    await stop_client(producer, self._connection.request_timeout_s)
                    raise
                self._session = _Session(producer)
            return self._session

    def _where(self, topic: str = "") -> str:
        return f"Kafka at {self._connection.bootstrap_servers}" + (f", {topic}" if topic else "")

    def _failure(self, error: BaseException, topic: str = "") -> Exception:
        if isinstance(error, TransientError):
            return error
        return kafka_failure(error, self._where(topic))


async def _send(producer: AIOKafkaProducer, topic: str, message: Message) -> None:
    try:
        await producer.send_and_wait(
            topic,
            message.value,
            key=message.key,
            partition=message.partition,
            headers=list(message.headers),
        )
    except KafkaError as error:
        if isinstance(error, BrokerResponseError):
            renumber(producer)
        if not is_of_its_batch(error):
            raise
        await send_alone(producer, topic, message)
