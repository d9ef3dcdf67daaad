"""How a process reaches Kafka, and an MQTT broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import structlog

from andon.settings import Settings, SettingsError

if TYPE_CHECKING:
    from streams.kafka.connection import KafkaConnection
    from streams.ports import Announcer, Changelog, Publisher
    from streams.topics import Wanted


def kafka_connection(settings: Settings) -> "KafkaConnection":
    """How every client of this process reaches the brokers."""
    from streams.kafka.connection import KafkaConnection

    own, names = settings.kafka, {field.name for field in fields(KafkaConnection)}
    return KafkaConnection(**own.model_dump(include=names), security=own.security)


def topics_wanted(settings: Settings) -> "Wanted":
    """How the topics are to be kept."""
    from streams.topics import Wanted

    own = settings.kafka
    return Wanted.of(
        own.bootstrap_servers, own.replication_factor, own.min_insync_replicas, own.partitions
    )


@asynccontextmanager
async def publisher(
    settings: Settings, timeout_s: float | None = None
) -> AsyncIterator["Publisher"]:
    """Sends messages; it connects at the first one.

    Args:
        timeout_s: seconds the broker may take for one message; the settings' without it.
    """
    from streams.kafka.publisher import KafkaPublisher

    connection = kafka_connection(settings)
    if timeout_s is not None:
        connection = replace(connection, request_timeout_s=timeout_s)
    made = KafkaPublisher(connection)
    try:
        yield made
    finally:
        await made.stop()


def changelog(settings: Settings) -> "Changelog":
    """The parts that the limits role had counted before."""
    from streams.kafka.changelog import KafkaChangelog

    return KafkaChangelog(kafka_connection(settings), structlog.get_logger(role="limits").info)


@asynccontextmanager
async def announcer(settings: Settings, worker: str) -> AsyncIterator["Announcer"]:
    """Tells an MQTT broker; it connects while the worker starts.

    Args:
        worker: its name among those of the role, of which the client's is made.

    Raises:
        SettingsError: the extra ``mqtt`` is not installed.
    """
    try:
        from streams.mqtt.announcer import MqttAnnouncer
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed: pip install 'andon[mqtt]' brings it"
        ) from None
    made = MqttAnnouncer(settings.mqtt, settings.mqtt.client_id or f"andon-{worker}")
    await made.start()
    try:
        yield made
    finally:
        await made.close()
