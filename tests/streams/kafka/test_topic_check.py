"""Topics that are not as the line needs them are found, named and mended."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.stack.broker import Broker
from infra.stack.kafka_local import kafka_available, start_kafka
from streams.errors import UnavailableError
from streams.kafka.connection import KafkaConnection
from streams.kafka.topic_admin import TopicsError, ensure_topics
from streams.kafka.topic_check import (
    MEND,
    REASSIGN,
    FoundTopic,
    Wrong,
    check_topics,
    judge,
    mend_topics,
    mended,
    tell_of_topics,
)
from streams.topics import (
    ALERTS,
    ALL,
    COUNTED,
    FRAMES,
    MAX_MESSAGE_BYTES,
    PARTS,
    POLICIES,
    Topic,
    Wanted,
)

PLANT = Wanted(copies=3, in_sync=2)


def right(topic: Topic, **changes: str) -> FoundTopic:
    """A topic as a plant wants it, but for some settings; ``""`` leaves one out."""
    config = PLANT.config_of(topic) | {k.replace("_", "."): v for k, v in changes.items()}
    return FoundTopic(PLANT.partitions_of(topic), 3, {k: v for k, v in config.items() if v})


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_a_topic_as_it_is_meant_has_nothing_wrong(topic: Topic) -> None:
    assert judge(topic, right(topic), PLANT) == []


@pytest.mark.parametrize(
    ("topic", "found", "what", "remedy"),
    [
        (FRAMES, None, "topic", MEND),
        (FRAMES, replace(right(FRAMES), partitions=1), "partitions", MEND),
        (POLICIES, replace(right(POLICIES), partitions=4), "partitions", "delete it"),
        (FRAMES, replace(right(FRAMES), copies=1), "copies", REASSIGN),
        (FRAMES, right(FRAMES, max_message_bytes="1048588"), "max.message.bytes", MEND),
        (FRAMES, right(FRAMES, max_message_bytes=""), "max.message.bytes", MEND),
        (FRAMES, right(FRAMES, min_insync_replicas="1"), "min.insync.replicas", MEND),
        (FRAMES, right(FRAMES, min_insync_replicas=""), "min.insync.replicas", MEND),
        (FRAMES, right(FRAMES, cleanup_policy="compact"), "cleanup.policy", MEND),
        (POLICIES, right(POLICIES, cleanup_policy="delete"), "cleanup.policy", MEND),
        (COUNTED, right(COUNTED, cleanup_policy=""), "cleanup.policy", MEND),
        (FRAMES, right(FRAMES, retention_ms="60000"), "retention.ms", MEND),
        (POLICIES, right(POLICIES, retention_ms="604800000"), "retention.ms", MEND),
    ],
)
def test_each_fault_is_named_with_its_remedy(
    topic: Topic, found: FoundTopic | None, what: str, remedy: str
) -> None:
    (wrong,) = judge(topic, found, PLANT)
    assert (wrong.topic, wrong.what) == (topic.name, what)
    assert wrong.remedy.startswith(remedy)
    assert topic.name in wrong.words()


def test_who_shall_delete_a_topic_is_told_what_is_in_it() -> None:
    for topic, holds in ((POLICIES, True), (ALERTS, False)):
        (wrong,) = judge(topic, replace(right(topic), partitions=4), PLANT)
        assert wrong.remedy.startswith(f"delete it while the line stands, then {MEND}")
        assert ("andon policy apply every policy again" in wrong.remedy) is holds


def test_more_than_is_asked_for_is_no_fault() -> None:
    more = right(FRAMES, max_message_bytes="20000000", retention_ms="-1", min_insync_replicas="3")
    assert judge(FRAMES, replace(more, partitions=16, copies=5), PLANT) == []


def test_what_the_broker_does_not_tell_is_not_judged() -> None:
    assert judge(FRAMES, replace(right(FRAMES), config=None), PLANT) == []


def test_what_a_plant_set_otherwise_outlasts_what_is_mended() -> None:
    own = {"retention.ms": "7776000000", "compression.type": "zstd"}
    changes = {"max.message.bytes": "9437184"}
    assert mended(FRAMES, FoundTopic(4, 1, None, own), changes) == own | changes
    assert mended(COUNTED, FoundTopic(4, 1), changes) == changes | {"segment.bytes": "16777216"}
    changes = {"retention.ms": "21600000"}
    assert mended(FRAMES, FoundTopic(4, 1, None, own), changes) == own | changes


async def create_as_a_producer_does(connection: KafkaConnection, *topics: Topic) -> None:
    admin = connection.admin()
    await admin.start()
    await admin.create_topics([NewTopic(t.name, 1, 1) for t in topics])
    await admin.close()


@pytest.mark.asyncio
async def test_a_topic_that_a_producer_created_is_found(fresh_broker: Broker) -> None:
    connection = KafkaConnection(fresh_broker.bootstrap_servers)
    assert {w.what for w in await check_topics(connection, Wanted())} == {"topic"}
    await create_as_a_producer_does(connection, FRAMES, POLICIES)
    await ensure_topics(connection)
    wrong = await check_topics(connection, Wanted())
    assert {(w.topic, w.what, w.found) for w in wrong} == {
        (FRAMES.name, "partitions", "1"),
        (FRAMES.name, "max.message.bytes", "1048588"),
        (FRAMES.name, "retention.ms", "604800000"),
        (POLICIES.name, "cleanup.policy", "delete"),
        (POLICIES.name, "retention.ms", "604800000"),
        (POLICIES.name, "max.message.bytes", "1048588"),
    } - {(FRAMES.name, "retention.ms", "604800000")}, "kept for longer is no fault"
    said: list[object] = []
    await tell_of_topics(connection, Wanted(), lambda _, **fields: said.append(fields["topic"]))
    assert sorted(map(str, said)) == sorted(w.topic for w in wrong)
    with pytest.raises(TopicsError, match=r"delete andon\.frames, andon\.policies .* policy apply"):
        await mend_topics(connection, Wanted())  # the embedded broker changes no topic


@pytest.mark.asyncio
async def test_parts_without_a_changelog_of_their_number_are_found(fresh_broker: Broker) -> None:
    connection = KafkaConnection(fresh_broker.bootstrap_servers)
    await ensure_topics(connection, Wanted(partitions=8), [PARTS])
    await ensure_topics(connection, Wanted())
    (wrong,) = await check_topics(connection, Wanted())
    assert wrong == Wrong(COUNTED.name, "partitions", "4", "8")


@pytest.mark.asyncio
async def test_without_a_broker_nothing_is_judged() -> None:
    connection = KafkaConnection("127.0.0.1:1", request_timeout_s=1.0)
    with pytest.raises(UnavailableError):
        await check_topics(connection, Wanted())
    said: list[str] = []
    await tell_of_topics(connection, Wanted(), lambda event, **_: said.append(event))
    assert said == ["the topics were not checked"]


@pytest.fixture
def apache_kafka(tmp_path: Path) -> Iterator[Broker]:
    if why := kafka_available():
        pytest.skip(why)
    with start_kafka(tmp_path / "kafka") as broker:
        yield broker


async def keeps_what_is_more(connection: KafkaConnection) -> None:
    """A topic that is kept for longer, and refuses pictures: the second is mended alone."""
    own = {"retention.ms": "7776000000", "compression.type": "zstd"}
    kept = replace(FRAMES, name="andon.kept")
    admin = connection.admin()
    await admin.start()
    small = own | {"max.message.bytes": "1048588"}
    await admin.create_topics([NewTopic(kept.name, 4, 1, topic_configs=small)])
    assert await mend_topics(connection, Wanted(), [kept]) == []
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, kept.name)])
    await admin.close()
    entries = answer.to_object()["resources"][0]["config_entries"]
    found = {entry["config_names"]: entry["config_value"] for entry in entries}
    assert {**found, **own, "max.message.bytes": str(MAX_MESSAGE_BYTES)} == found


async def gives_parts_their_changelog(connection: KafkaConnection) -> None:
    """Somebody added partitions to one topic of the two."""
    admin = connection.admin()
    await admin.start()
    await admin.create_partitions({PARTS.name: NewPartitions(6)})
    await admin.close()
    assert await mend_topics(connection, Wanted()) == []
    assert await check_topics(connection, Wanted(partitions=6), [COUNTED]) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.asyncio
async def test_apache_kafka_s_topics_are_mended(apache_kafka: Broker) -> None:
    connection = KafkaConnection(apache_kafka.bootstrap_servers)
    await create_as_a_producer_does(connection, FRAMES, POLICIES)
    assert await check_topics(connection, Wanted())
    assert await mend_topics(connection, Wanted()) == []
    assert await check_topics(connection, Wanted()) == []
    await keeps_what_is_more(connection)
    await gives_parts_their_changelog(connection)
    new = replace(FRAMES, name="andon.new")
    with pytest.raises(TopicsError, match="REPLICATION_FACTOR"):
        await ensure_topics(connection, Wanted(copies=3), [new])
