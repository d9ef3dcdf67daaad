"""Nothing that a message contains ends a reader: broken messages of every topic, from a seed.

``ANDON_TEST_FUZZ=2000 pytest tests/fuzz/test_messages.py`` sends that many of each topic.
"""

import os
import tracemalloc
from datetime import UTC, datetime
from itertools import islice

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import to_binary
from structlog.testing import capture_logs

from connectors.decision_feed import KafkaDecisionFeed
from connectors.gateway.controller_writer import result_group
from connectors.gateway.part_events import key_of, verdict_of
from connectors.handshake.values import Part, WriteResult
from connectors.opcua.coercion import to_wire
from history import rows
from policies.in_force import PoliciesInForce
from streams.codes import ReasonCode, Stage
from streams.envelope import Message, from_message, header_dict, to_message
from streams.errors import EventError, MalformedEventError
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Event,
    Review,
    ShotVerdict,
)
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery, dead_letter
from streams.ports import Trigger
from streams.regions import decode_mask
from streams.roles.config import FlowConfig
from streams.roles.results import Results, Telemetry
from streams.roles.salvage import attributes, nested_attributes
from streams.topics import ALERTS, ALL, DECISIONS, MAX_MESSAGE_BYTES, POLICIES, Topic
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.publisher import TwinPublisher
from tests.fuzz.messages import broken, samples

EACH = int(os.environ.get("ANDON_TEST_FUZZ", "150"))
"""Messages of each topic."""
NOBODY = KafkaConnection("127.0.0.1:1")


def delivered(topic: Topic, message: Message, offset: int) -> Delivery:
    return Delivery(topic.name, 0, offset, message.key, message.value, message.headers)


def row_of(event: Event) -> object:
    """The row that record would write, where the topic is recorded."""
    match event:
        case Anomaly():
            return rows.anomaly_row(event)
        case ShotVerdict():
            return rows.verdict_row(event)
        case Decision():
            return rows.decision_row(event)
        case Acknowledgement():
            return rows.acknowledgement_row(event)
        case Review():
            return rows.review_row(event)
        case DeadLetter():
            return rows.dead_letter_row((event, "key"))
        case Alert():
            return rows.alert_row(event)
    return None


def on_the_wire(decision: Decision) -> None:
    """The bytes that the controller would be sent."""
    trigger = Trigger(1, decision.trigger_seq, decision.part_id, "", "", 0, 1000)
    verdict = verdict_of(decision)
    part = Part(key_of(decision), trigger, decision.frame_id, 0.0, 1.0, verdict=verdict)
    for signal, value in result_group(WriteResult(part, 1)).items():
        variant = to_wire(signal, value, ua.VariantType[signal.data_type])
        to_binary(ua.DataValue, ua.DataValue(variant, StatusCode=None))


@pytest.mark.asyncio
@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
async def test_broken_messages_are_refused_or_harmless(topic: Topic) -> None:
    feed = KafkaDecisionFeed(NOBODY, "line-1", "station1")
    policies = PoliciesInForce()
    publisher = TwinPublisher()
    results = Results(Stage.INSPECT, publisher, Telemetry("inspect"), FlowConfig())
    accepted = 0
    for base in samples()[topic.name]:
        assert from_message(topic.event, base.value, base.headers)
        for offset, message in enumerate(islice(broken(base, seed=19), EACH)):
            delivery = delivered(topic, message, offset)
            with capture_logs():
                if topic is POLICIES:
                    policies.take(delivery, is_new=True)
                elif topic in (DECISIONS, ALERTS):
                    feed._read(delivery)
            try:
                event = from_message(topic.event, message.value, message.headers)
            except EventError as error:
                outer = attributes(delivery.headers)
                fields = {**outer, **nested_attributes(outer.get("frame", ""))}
                code = ReasonCode.MALFORMED_EVENT
                await results.unreadable(delivery, fields, error, code, TwinPolicies())
                assert size_of(publisher.sent[-1][1]) < MAX_MESSAGE_BYTES
                publisher.sent.clear()
                continue
            accepted += 1
            to_message(event, b"picture")
            row_of(event)
            if isinstance(event, Decision):
                on_the_wire(event)
    assert accepted, "some of what is changed is no field of the event"


def size_of(message: Message) -> int:
    return len(message.value) + sum(len(name) + len(raw) for name, raw in message.headers)


def test_a_letter_about_the_largest_message_fits_into_one() -> None:
    headers = (("h", b"\xff" * (1 << 20)), *((f"n{n}", b"\xff" * 1000) for n in range(300)))
    delivery = Delivery("t", 0, 1, b"k" * 10_000, b"v" * MAX_MESSAGE_BYTES, headers)
    letter = dead_letter(delivery, Stage.RECORD, "E", "why " * 2000, datetime.now(UTC))
    assert size_of(letter) < MAX_MESSAGE_BYTES
    event = from_message(DeadLetter, letter.value, letter.headers)
    assert f"of {MAX_MESSAGE_BYTES} bytes" in event.error
    small = Delivery("t", 0, 1, b"key", b"value", (("a", b"b"),))
    kept = dead_letter(small, Stage.RECORD, "E", "why", datetime.now(UTC))
    assert header_dict(kept.headers)["ce_originalheaders"] == '{"a": "b"}'
    assert kept.value == b"value"


def test_a_mask_is_as_large_as_its_runs_or_refused_before_memory_is_taken() -> None:
    tracemalloc.start()
    try:
        for text, side in (("04", 20_000), ("04", 5000), ("1" * 4_000_000, 2), ("", 1), ("ü", 1)):
            with pytest.raises(MalformedEventError):
                decode_mask(text, side, side)
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()
