"""What was set aside is listed, and sent again as it was."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from andon.settings import load_settings
from infra.stack.broker import Broker
from streams.codes import Stage
from streams.envelope import from_message, to_message
from streams.events import DeadLetter
from streams.kafka.connection import KafkaConnection
from streams.kafka.dead_letters import NotWholeError, original, read_letters
from streams.kafka.delivery import (
    dead_letter,
    letter_id,
    refused_letter,
    salvaged_frame_id,
    without_value,
)
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.kafka.retention import LostSpan
from streams.kafka.topic_admin import ensure_topics
from streams.topics import DEAD, FRAMES, INLINE_LIMIT_BYTES
from tests.streams.made import delivery, frame

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def test_the_original_is_as_it_was() -> None:
    message = to_message(frame(), b"\x00picture\xff")
    letter = refused_letter(FRAMES.name, message, Stage.GATEWAY, "TOO_LARGE", "why", NOW)
    again = original(from_message(DeadLetter, letter.value, letter.headers), letter.value)
    assert (again.key, again.value) == (message.key, message.value)
    assert dict(again.headers) == dict(message.headers)


def test_less_than_the_original_is_not_sent() -> None:
    large = dead_letter(
        delivery(frame(), bytes(INLINE_LIMIT_BYTES + 1)), Stage.INSPECT, "E", "w", NOW
    )
    small = dead_letter(delivery(frame(), b"x"), Stage.INSPECT, "E", "w", NOW)
    for letter in (large, without_value(small)):
        with pytest.raises(NotWholeError, match="of a larger message"):
            original(from_message(DeadLetter, letter.value, letter.headers), letter.value)


def test_what_retention_took_is_not_sent_as_an_empty_message() -> None:
    letter = LostSpan(FRAMES.name, 0, 40, 99).letter(Stage.INSPECT, NOW)
    with pytest.raises(NotWholeError, match="holds no message: 60 messages, offsets 40 to 99"):
        original(from_message(DeadLetter, letter.value, letter.headers), letter.value)


def test_a_topic_that_is_made_anew_makes_other_letters() -> None:
    before = replace(delivery(frame(), b"x"), produced_s=1_700_000_000.123)
    after = replace(before, produced_s=1_800_000_000.0)
    assert letter_id(before, Stage.INSPECT) == letter_id(replace(before), Stage.INSPECT)
    assert letter_id(before, Stage.INSPECT) != letter_id(after, Stage.INSPECT)
    assert letter_id(before, Stage.INSPECT) != letter_id(before, Stage.RECORD)
    assert salvaged_frame_id(before) == salvaged_frame_id(replace(before))
    assert salvaged_frame_id(before) != salvaged_frame_id(after)


@pytest.fixture
def at_the_broker(fresh_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> KafkaConnection:
    monkeypatch.setenv("ANDON_KAFKA__BOOTSTRAP_SERVERS", fresh_broker.bootstrap_servers)
    load_settings.cache_clear()
    return KafkaConnection(fresh_broker.bootstrap_servers)


async def put_letter(connection: KafkaConnection) -> None:
    await ensure_topics(connection)
    publisher = KafkaPublisher(connection)
    message = to_message(frame(part_id="P-7"), b"picture")
    letter = refused_letter(FRAMES.name, message, Stage.GATEWAY, "NOT_ALLOWED", "why", NOW)
    for _ in range(2):
        await publisher.send(DEAD.name, letter)
    await publisher.stop()


async def on_frames(connection: KafkaConnection) -> list[bytes]:
    reader = PartitionReader(connection, {FRAMES.name: BEGINNING})
    return [r.value async for records in reader.read_to_end() for r in records]


def test_a_letter_is_listed_and_sent_again(at_the_broker: KafkaConnection) -> None:
    asyncio.run(put_letter(at_the_broker))

    async def read() -> list[DeadLetter]:
        return [letter async for letter, _ in read_letters(at_the_broker)]

    (letter,) = asyncio.run(read())
    runner = CliRunner()
    listed = runner.invoke(app, ["topics", "dead", "--json"])
    assert listed.exit_code == 0, listed.output
    (shown,) = json.loads(listed.stdout)
    assert (shown["letter_id"], shown["error_type"]) == (str(letter.letter_id), "NOT_ALLOWED")
    sent = runner.invoke(app, ["topics", "resend", str(letter.letter_id), "--json"])
    assert sent.exit_code == 0, sent.output
    assert asyncio.run(on_frames(at_the_broker)) == [b"picture"]
    absent = runner.invoke(app, ["topics", "resend", str(letter.frame_id), "--json"])
    assert absent.exit_code == 1
    assert "no such letter" in absent.stdout
