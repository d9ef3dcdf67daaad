"""Whether the topics at the broker are as the line needs them, and what mends those that are not.

A topic that a producer's first message created has one partition and takes 1 MB: pictures are
refused for ever, and a second worker of a role gets nothing. A broker says no word about it.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.errors import UnavailableError
from streams.failures import failed
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.failures import kafka_cause
from streams.kafka.refusals import explained
from streams.kafka.topic_admin import TopicsError, ensure_topics
from streams.log import Log
from streams.topics import ALL, COUNTED, PARTS, POLICIES, Topic, Wanted

_DEFAULTS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
}
"""What a broker takes for what nobody set."""
_LOOK_AGAIN_S: Final = 0.1
_SET_ON_THE_TOPIC: Final = 1
"""Kafka's DYNAMIC_TOPIC_CONFIG, as the source of a value."""
_AT_LEAST: Final = ("max.message.bytes", "retention.ms", "min.insync.replicas")
"""More of these is no fault; -1 of a retention is most."""
MEND: Final = "andon topics mend"
REASSIGN: Final = "kafka-reassign-partitions.sh, by whoever runs the brokers"


@dataclass(frozen=True)
class FoundTopic:
    """A topic as the broker has it."""

    partitions: int
    copies: int
    """Of the partition that has fewest."""
    config: Mapping[str, str] | None = None
    """None where the broker does not let us ask."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Of these, what was set on the topic itself."""


@dataclass(frozen=True)
class Wrong:
    """One thing about a topic that is not as it should be."""

    topic: str
    what: str
    found: str
    wanted: str
    remedy: str = MEND

    def words(self) -> str:
        """For a log and for people.

        >>> Wrong("andon.frames", "partitions", "1", "4").words()
        'andon.frames: partitions 1, wanted 4 (andon topics mend)'
        """
        return f"{self.topic}: {self.what} {self.found}, wanted {self.wanted} ({self.remedy})"


def _while_it_stands(*deleted: str) -> str:
    """How topics are deleted, and what becomes of what is in force by them alone."""
    lost = ", and andon policy apply every policy again: it holds those in force"
    return f"while the line stands, then {MEND}" + (lost if POLICIES.name in deleted else "")


def judge(topic: Topic, found: FoundTopic | None, wanted: Wanted) -> list[Wrong]:
    """What is wrong with a topic: pure."""
    if found is None:
        return [Wrong(topic.name, "topic", "absent", "present")]
    wrong = []
    partitions = wanted.partitions_of(topic)
    if found.partitions < partitions or (topic.partitions == 1 and found.partitions > 1):
        many = found.partitions > partitions
        remedy = f"delete it {_while_it_stands(topic.name)}" if many else MEND
        said = (str(found.partitions), str(partitions))
        wrong.append(Wrong(topic.name, "partitions", *said, remedy))
    if found.copies < wanted.copies:
        said = (str(found.copies), str(wanted.copies))
        wrong.append(Wrong(topic.name, "copies", *said, REASSIGN))
    if found.config is None:
        return wrong
    for name, value in wanted.config_of(topic).items():
        has = found.config.get(name, _DEFAULTS.get(name, ""))
        if name != "segment.bytes" and not _is_enough(name, has, value):
            wrong.append(Wrong(topic.name, name, has or "unset", value))
    return wrong


def _is_enough(name: str, has: str, value: str) -> bool:
    if name not in _AT_LEAST or "-" in value:
        return has == value
    return has == "-1" or int(has or 0) >= int(value)


async def check_topics(
    connection: KafkaConnection, wanted: Wanted, topics: Iterable[Topic] = ALL
) -> list[Wrong]:
    """What is wrong with the topics at the broker; nothing is changed.

    Raises:
        UnavailableError: the broker does not answer, or does not let us ask.
    """
    names = list(topics)
    admin = connection.admin()
    try:
        async with asyncio.timeout(3 * connection.request_timeout_s):
            await admin.start()
            found = await _found(admin, [topic.name for topic in names])
    except DOWN as error:
        said = await explained(error, connection)
        where = f"Kafka at {connection.bootstrap_servers}"
        raise failed(kafka_cause(error), f"{where}: {said}") from error
    finally:
        await admin.close()
    wrong = [one for topic in names for one in judge(topic, found.get(topic.name), wanted)]
    return _as_their_changelog(wrong, found)


def _as_their_changelog(wrong: list[Wrong], found: Mapping[str, FoundTopic]) -> list[Wrong]:
    """The limits count a partition of ``andon.parts`` in the one of ``andon.counted`` with its
    number: where that is absent, they wait for it and count nothing."""
    parts, counted = found.get(PARTS.name), found.get(COUNTED.name)
    if parts is None or counted is None or counted.partitions >= parts.partitions:
        return wrong
    few = Wrong(COUNTED.name, "partitions", str(counted.partitions), str(parts.partitions))
    return [w for w in wrong if (w.topic, w.what) != (few.topic, few.what)] + [few]


async def tell_of_topics(connection: KafkaConnection, wanted: Wanted, log: Log) -> None:
    """One line for each thing that is wrong; a process that starts says it, and goes on."""
    try:
        for wrong in await check_topics(connection, wanted):
            log("a topic is not as it should be", topic=wrong.topic, why=wrong.words())
    except UnavailableError as error:
        log("the topics were not checked", why=str(error))


async def mend_topics(
    connection: KafkaConnection, wanted: Wanted, topics: Sequence[Topic] = ALL
) -> list[Wrong]:
    """Create what is absent, add partitions, set what is set wrong; returns what stays wrong.

    A broker may describe topics for a moment as they were: what was mended is looked at again.

    Raises:
        UnavailableError: the broker does not answer.
        TopicsError: it refuses, or cannot change topics.
    """
    await ensure_topics(connection, wanted, topics)
    by_name = {topic.name: topic for topic in topics}
    wrong = [w for w in await check_topics(connection, wanted, topics) if w.remedy == MEND]
    if wrong:
        admin = connection.admin()
        try:
            await admin.start()
            await _mend(admin, wrong, by_name)
        except DOWN as error:
            names = sorted({w.topic for w in wrong})
            raise TopicsError(
                f"the broker does not change topics ({type(error).__name__}: {error}); delete "
                f"{', '.join(names)} {_while_it_stands(*names)}"
            ) from error
        finally:
            await admin.close()
    until = time.monotonic() + connection.request_timeout_s
    while True:
        left = await check_topics(connection, wanted, topics)
        if time.monotonic() > until or not any(w.remedy == MEND for w in left):
            return left
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _mend(
    admin: AIOKafkaAdminClient,
    wrong: Sequence[Wrong],
    by_name: Mapping[str, Topic],
) -> None:
    few = {w.topic: NewPartitions(int(w.wanted)) for w in wrong if w.what == "partitions"}
    if few:
        await admin.create_partitions(few)
    changes: dict[str, dict[str, str]] = {}
    for w in wrong:
        if w.what != "partitions":
            changes.setdefault(w.topic, {})[w.what] = w.wanted
    found = await _found(admin, list(changes))
    for name, changed in changes.items():
        config = mended(by_name[name], found[name], changed)
        resource = ConfigResource(ConfigResourceType.TOPIC, name, config)
        for answer in await admin.alter_configs([resource]):
            for code, said, *_ in answer.resources:
                if code:
                    raise TopicsError(f"topic {name}: code {code}: {said}")


def mended(topic: Topic, found: FoundTopic, changes: Mapping[str, str]) -> dict[str, str]:
    """All that is to be set on the topic: pure.

    The broker forgets what was set and is not named again. Whoever runs it may keep a topic for
    longer than we ask: to shorten that would delete messages.
    """
    segments = {} if topic.segment_bytes is None else {"segment.bytes": str(topic.segment_bytes)}
    return {**segments, **found.own, **changes}


async def _found(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, FoundTopic]:
    """Those that there are; to ask for one by its name would create it at some brokers."""
    described = {
        each["topic"]: each["partitions"]
        for each in await admin.describe_topics()
        if each["topic"] in names
    }
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
    configs: dict[str, dict[str, str]] = {}
    own: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for one in answer.to_object()["resources"]:
            if one["error_code"]:
                continue  # no right to ask
            entries = one["config_entries"]
            configs[one["resource_name"]] = {
                entry["config_names"]: entry["config_value"] for entry in entries
            }
            own[one["resource_name"]] = {
                entry["config_names"]: entry["config_value"]
                for entry in entries
                if entry.get("config_source") == _SET_ON_THE_TOPIC
            }
    return {
        name: FoundTopic(
            len(partitions),
            min((len(p["replicas"]) for p in partitions), default=0),
            configs.get(name),
            own.get(name, {}),
        )
        for name, partitions in described.items()
    }
