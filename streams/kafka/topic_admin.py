"""Create the topics of the line, with their partitions, retention and limits."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.backoff import backoff_s
from streams.errors import AndonError, UnavailableError
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.refusals import explained
from streams.log import Log, Outage
from streams.topics import ALL, Topic, Wanted

_EXISTS = 36
_TOO_FEW_BROKERS = 38


class TopicsError(AndonError):
    """The broker refused to create a topic."""


async def ensure_topics(
    connection: KafkaConnection,
    wanted: Wanted | None = None,
    topics: Iterable[Topic] = ALL,
) -> tuple[str, ...]:
    """Create what is missing; returns the names created. Idempotent; existing ones are kept.

    Args:
        connection: to the broker.
        wanted: copies and partitions; one copy without it.
        topics: which.

    Raises:
        UnavailableError: no broker answered within the connection's request timeout.
        TopicsError: the broker refused, with its reason.
    """
    admin = connection.admin()
    try:
        await admin.start()
        new = [_new_topic(topic, wanted or Wanted()) for topic in topics]
        return await _create_missing(admin, new)
    except DOWN as error:
        said = await explained(error, connection)
        raise UnavailableError(f"Kafka at {connection.bootstrap_servers}: {said}") from error
    finally:
        await admin.close()


async def await_topics(
    connection: KafkaConnection,
    wanted: Wanted,
    stop: asyncio.Event,
    log: Log,
) -> bool:
    """``ensure_topics`` for as long as the broker is away; False when ``stop`` was set first."""
    outage = Outage()
    for attempt in itertools.count():
        if stop.is_set():
            break
        try:
            await ensure_topics(connection, wanted)
            return True
        except UnavailableError as error:
            if outage.failed(str(error)) is not None:
                log("waiting for the broker", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), backoff_s(attempt, 0.1, 5.0))
    return False


def _new_topic(topic: Topic, wanted: Wanted) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=wanted.partitions_of(topic),
        replication_factor=wanted.copies,
        topic_configs=wanted.config_of(topic),
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
            words = f"topic {name}: the broker refused it with code {code}: {reason}"
            if code == _TOO_FEW_BROKERS:
                words += "; ANDON_KAFKA__REPLICATION_FACTOR says that fewer copies are meant"
            raise TopicsError(words)
        if code == 0:
            created.append(name)
    return tuple(created)
