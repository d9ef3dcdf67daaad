"""The one way to connect to Kafka, and the only module that builds its clients.

``KafkaConnection.security`` reaches every consumer, producer and admin client, and Faust's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.cancellation import asked_to_end
from streams.kafka.security import KafkaSecurity
from streams.topics import MAX_FETCH_BYTES, MAX_MESSAGE_BYTES, MIB

log = structlog.get_logger(__name__)
DOWN = (KafkaError, OSError, TimeoutError)
"""What a client raises while no broker answers."""
BATCH_BYTES = MIB
"""What waits for a partition travels together: one round trip each would bound a burst."""
METADATA_MS = 10_000
"""A client looks so often whether topics were made or partitions added. With aiokafka's five
minutes workers would read nothing of them for so long, and say nothing. Milliseconds."""
_RETRY_MS = 50
"""Pause of a client before it asks the broker again, milliseconds."""


@dataclass(frozen=True)
class KafkaConnection:
    """Where the brokers are and how to talk to them."""

    bootstrap_servers: str
    """Comma-separated host:port."""
    request_timeout_s: float = 10.0
    """Seconds the broker may take for one request."""
    fetch_max_wait_ms: int = 50
    """Milliseconds a fetch may wait at the broker for the first byte: the latency when idle."""
    fetch_min_bytes: int = 1
    """A fetch waits for so many bytes, at most ``fetch_max_wait_ms``."""
    slowest_kib_s: float = 64.0
    """The slowest link that is still good, KiB/s: a message may take so much longer."""
    idempotent_producer: bool = False
    """Switched on for Apache Kafka; the embedded broker does not support it."""
    security: KafkaSecurity = field(default_factory=KafkaSecurity)
    """TLS and login."""

    def time_for(self, size: int) -> float:
        """Seconds that a message of ``size`` bytes may take.

        >>> KafkaConnection("localhost:9092", request_timeout_s=2.0).time_for(2 << 20)
        34.0
        """
        return self.request_timeout_s + size / (self.slowest_kib_s * 1024)

    def consumer(self, group: str | None = None) -> AIOKafkaConsumer:
        """A consumer, not started; its partitions are assigned by hand.

        Args:
            group: whose committed offsets it can read; it does not join it.
        """
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=MAX_FETCH_BYTES,
            max_partition_fetch_bytes=MAX_FETCH_BYTES,
            fetch_max_wait_ms=self.fetch_max_wait_ms,
            fetch_min_bytes=self.fetch_min_bytes,
            request_timeout_ms=int(self.request_timeout_s * 1000),
            metadata_max_age_ms=METADATA_MS,
            retry_backoff_ms=_RETRY_MS,
            **self.security.client_options(),
        )

    def producer(self, batch_bytes: int = BATCH_BYTES) -> AIOKafkaProducer:
        """A producer that waits for every in-sync replica, not started."""
        return AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers,
            acks="all",
            enable_idempotence=self.idempotent_producer,
            max_request_size=MAX_MESSAGE_BYTES,
            max_batch_size=batch_bytes,
            request_timeout_ms=max(int(self.time_for(MAX_MESSAGE_BYTES) * 1000), 1000),
            metadata_max_age_ms=METADATA_MS,
            retry_backoff_ms=_RETRY_MS,
            **self.security.client_options(),
        )

    def admin(self) -> AIOKafkaAdminClient:
        """A client that creates and lists topics, not started."""
        return AIOKafkaAdminClient(
            bootstrap_servers=self.bootstrap_servers,
            request_timeout_ms=int(self.request_timeout_s * 1000),
            **self.security.client_options(),
        )

    def faust_settings(self) -> dict[str, object]:
        """The same, in the names of Faust's settings."""
        hosts = [host.strip() for host in self.bootstrap_servers.split(",") if host.strip()]
        return {
            "broker": ";".join(f"kafka://{host}" for host in hosts),
            "broker_credentials": self.security.faust_credentials(),
            "broker_request_timeout": self.request_timeout_s,
            "consumer_max_fetch_size": MAX_FETCH_BYTES,
            "consumer_metadata_max_age_ms": METADATA_MS,
            "producer_metadata_max_age_ms": METADATA_MS,
            "producer_request_timeout": self.time_for(MAX_MESSAGE_BYTES),
            "producer_max_request_size": MAX_MESSAGE_BYTES,
            "producer_max_batch_size": BATCH_BYTES,
            "producer_acks": -1,
        }

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[AIOKafkaConsumer]:
        """``consumer``, started, and stopped at the end. Raises one of ``DOWN``."""
        consumer = self.consumer()
        try:
            async with asyncio.timeout(self.request_timeout_s):
                await consumer.start()
            yield consumer
        finally:
            await stop_client(consumer, self.request_timeout_s)


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer, timeout_s: float) -> None:
    """Stop a client, and close the connections of a consumer also where aiokafka leaves them open.

    When a fetch fails while the consumer stops, aiokafka 0.14 raises the fetch's own
    ``CancelledError``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await client.stop()
    except (*DOWN, asyncio.CancelledError) as error:
        if isinstance(client, AIOKafkaConsumer):
            with contextlib.suppress(*DOWN):
                await client._client.close()
        if asked_to_end():
            raise
        log.debug("kafka.stopped_with_an_error", why=repr(error))


def drop_connections(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Cut every connection of a client at once, with what is still to be sent on it.

    aiokafka's own ``close`` goes on sending what it has, on a link that may be stalled or slow.
    """
    of_client = client.client if isinstance(client, AIOKafkaProducer) else client._client
    for connection in list(of_client._conns.values()):
        writer = connection._writer
        if writer is not None:
            writer.transport.abort()


async def abandon(producer: AIOKafkaProducer, timeout_s: float) -> None:
    """End a producer that is stuck; what it has not sent is given up, its senders have been told.

    ``stop`` would wait for what is stuck, and leave the sending task behind when that takes long.
    """
    drop_connections(producer)
    sender = producer._sender
    with contextlib.suppress(*DOWN, asyncio.CancelledError):
        async with asyncio.timeout(timeout_s):
            if sender is not None:
                await sender.close()
            await producer.client.close()
    producer._closed = True
