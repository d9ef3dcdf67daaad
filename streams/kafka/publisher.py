"""The ``Publisher`` of every process that runs no Faust app."""

import asyncio

from aiokafka import AIOKafkaProducer

from streams.cancellation import asked_to_end
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.kafka.connection import DOWN, KafkaConnection, stop_client


class KafkaPublisher:
    """``Publisher`` over aiokafka. Connects at the first message, and again after an outage."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def send(self, topic: str, message: Message) -> None:
        """Returns once every in-sync replica has it. Raises ``UnavailableError``."""
        try:
            producer = self._producer or await self._connect()
            await producer.send_and_wait(
                topic,
                message.value,
                key=message.key,
                partition=message.partition,
                headers=list(message.headers),
            )
        except (*DOWN, asyncio.CancelledError) as error:
            if asked_to_end():
                raise
            raise self._unavailable(error) from error

    async def start(self) -> None:
        """Connect now. Without it the first message does. Raises ``UnavailableError``."""
        try:
            await self._connect()
        except DOWN as error:
            raise self._unavailable(error) from error

    async def stop(self) -> None:
        """Messages not sent yet are given up: their senders have been told."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_client(producer, self._connection.request_timeout_s)

    async def _connect(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = self._connection.producer()
                try:
                    await producer.start()
                except BaseException:
                    await stop_client(producer, self._connection.request_timeout_s)
                    raise
                self._producer = producer
            return self._producer

    def _unavailable(self, error: BaseException) -> UnavailableError:
        text = f"{type(error).__name__} {error}".strip()
        return UnavailableError(f"Kafka at {self._connection.bootstrap_servers}: {text}")
