"""Create the topics of the line, with their partitions, retention and limits."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.backoff import backoff_s
from streams.errors import AndonError, UnavailableError
from streams.kafka.connection import DOWN, KafkaConnection
from streams.log import Log
from streams.topics import ALL, PARTITIONS, Topic

_EXISTS = 36


class TopicsError(AndonError):
    """The broker refused to create a topic."""


async def ensure_topics(
    connection: KafkaConnection,
    replication_factor: int = 1,
    topics: Iterable[Topic] = ALL,
    partitions: int = PARTITIONS,
) -> tuple[str, ...]:
    """Create what is missing; returns the names created. Idempotent; existing ones are kept.

    Args:
        connection: to the broker.
        replication_factor: copies of each partition.
        topics: which.
        partitions: of every topic that has more than one by its definition.

    Raises:
        UnavailableError: no broker answered within the connection's request timeout.
        TopicsError: the broker refused, with its reason.
    """
    admin = connection.admin()
    try:
        await admin.start()
        wanted = [_new_topic(t, replication_factor, partitions) for t in topics]
        return await _create_missing(admin, wanted)
    except DOWN as error:
        where = connection.bootstrap_servers
        raise UnavailableError(f"Kafka at {where}: {error or repr(error)}") from error
    finally:
        await admin.close()


async def await_topics(
    connection: KafkaConnection,
    replication_factor: int,
    stop: asyncio.Event,
    log: Log,
    partitions: int = PARTITIONS,
) -> bool:
    """``ensure_topics`` for as long as the broker is away; False when ``stop`` was set first."""
    for attempt in itertools.count():
        if stop.is_set():
            break
        try:
            await ensure_topics(connection, replication_factor, partitions=partitions)
            return True
        except UnavailableError as error:
            log("waiting for the broker", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), backoff_s(attempt, 0.1, 5.0))
    return False


def _new_topic(topic: Topic, replication_factor: int, partitions: int) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=1 if topic.partitions == 1 else partitions,
        replication_factor=replication_factor,
        topic_configs=topic.config,
    )


async def _create_missing(
    admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]
) -> tuple[str, ...]:
    present = set(await admin.list_topics())
    missing = [topic for topic in topics if topic.name not in present]
    if not missing:
        return ()
    answer = await admin.create_topics(missing)
    created: list[str] = []
    for name, code, *detail in answer.topic_errors:
        if code not in (0, _EXISTS):
            reason = detail[0] if detail else ""
            raise TopicsError(f"topic {name}: the broker refused it with code {code}: {reason}")
        if code == 0:
            created.append(name)
    return tuple(created)
