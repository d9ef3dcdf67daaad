"""Events as they go to Kafka, read by the AsyncAPI parser, ajv and another language's SDK."""

import base64
import json
from pathlib import Path
from typing import Any, cast
from uuid import uuid5

import pytest

from policies.authoring.loading import load_policy
from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.envelope import Message, from_message, to_message
from streams.events import Alert, CountedPart, Frame, PolicyInForce, ShotSummary
from streams.roles.limits_core import entry_message, part_message
from streams.topics import ALL, COUNTED, FRAMES, PARTS
from tests.history import make
from tests.interop.tools import node_tools, write_messages
from tests.streams.made import recipe_request
from tests.streams.statuses import fault, gateway_said, worker_said

ROOT = Path(__file__).parents[2]
RECIPE = recipe_request()
DOCUMENT = ROOT / "docs" / "asyncapi.yaml"
PICTURE = b"\x89PNG\r\n\x1a\n\x00\xff not valid UTF-8 \xc3("
NAMES = {"line": "Straße 1", "station": "oben", "product_id": "6ES7 155", "part_id": "Teil\t'7' ü"}


def everything() -> list[tuple[str, Message]]:
    """At least one message of every topic, plain and with all that is optional."""
    policy = load_policy(ROOT / "policies" / "products" / "magnetic_tile.yaml")
    plain = make.decision(1)
    scrapped = make.decision(
        2,
        DecisionSource.CLASSIFIER,
        Action.SCRAP,
        "lötfehler",
        **NAMES,
        shots=(
            ShotSummary(
                shot=1,
                source=DecisionSource.EXPERT,
                severity=Severity.NORMAL,
                action=Action.PASS,
                reason_code=ReasonCode.NORMAL,
            ),
        ),
    )
    frames = [
        Frame(**make.part(number), content_type="image/png", size_bytes=10, sha256="f" * 64, **more)
        for number, more in (
            (1, {}),
            (2, {"dataref": "frames/2", "is_simulated": True, "encoder_pos": -5}),
        )
    ]
    counted = CountedPart(
        line="line-1",
        product_id="tile",
        number=3,
        frame_id=make.frame_id(3),
        source=DecisionSource.EXPERT,
        action=Action.PASS,
        watched={"score": 0.5},
        decided_at=make.captured(3),
    )
    alert = Alert(
        alert_id=uuid5(make.SPACE, "alert"),
        line="line-1",
        product_id="tile",
        limit="cracks",
        reason="4 of 100",
        request_stop=True,
        raised_at=make.captured(3),
    )
    in_force = PolicyInForce(
        product_id=policy.product_id,
        policy_hash=policy.policy_hash,
        body=policy.body,
        applied_at=make.captured(0),
    )
    events = [
        (frames[0], PICTURE),
        (frames[1], b""),
        (make.anomaly(1), PICTURE),
        (make.anomaly(2, is_simulated=True), PICTURE),
        (plain, b""),
        (scrapped, b""),
        (make.verdict(4, 2), b""),
        (make.acknowledgement(plain), b""),
        (make.review(1), b""),
        (in_force, b""),
        (alert, b""),
        (RECIPE, b""),
        (gateway_said(faults=(fault(),)), b""),
        (worker_said(), b""),
        (make.dead_letter(1, original_headers={"ce_id": "7"}), PICTURE),
    ]
    topic_of = {topic.event: topic.name for topic in ALL if topic not in (PARTS, COUNTED)}
    return [
        *((topic_of[type(event)], to_message(event, value)) for event, value in events),
        (PARTS.name, part_message(scrapped)),
        (COUNTED.name, entry_message(counted, 2, 0)),
    ]


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """The records of every topic, for the scripts."""
    return write_messages(tmp_path / "messages.jsonl", everything())


def asyncapi(messages: Path, document: Path = DOCUMENT) -> dict[str, Any]:
    return cast(dict[str, Any], node_tools().run("asyncapi.cjs", document, messages))


def test_every_message_is_as_the_document_says(sent: Path) -> None:
    found = asyncapi(sent)
    assert not found["diagnostics"]
    assert not found["problems"]
    assert set(found["checked"]) == {topic.name for topic in ALL}


@pytest.mark.parametrize(
    ("headers", "value", "problem"),
    [
        ({"ce_triggerseq": b"true"}, PICTURE, "/ce_triggerseq must match pattern"),
        ({"ce_issimulated": b"1"}, PICTURE, "/ce_issimulated must be equal to one of"),
        ({"ce_colour": b"red"}, PICTURE, "header ce_colour is not declared"),
        ({"ce_type": b"andon.frame.v2"}, PICTURE, "/ce_type must be equal to constant"),
    ],
)
def test_what_is_not_as_it_says_is_seen(
    tmp_path: Path, headers: dict[str, bytes], value: bytes, problem: str
) -> None:
    topic, message = everything()[0]
    changed = tuple({**dict(message.headers), **headers}.items())
    found = asyncapi(
        write_messages(tmp_path / "m.jsonl", [(topic, Message(message.key, value, changed))])
    )
    assert len(found["problems"]) == 1
    assert problem in found["problems"][0]


def test_the_cloudevents_sdk_of_javascript_reads_them(sent: Path) -> None:
    read = cast(list[dict[str, Any]], node_tools().run("cloudevents.cjs", sent))
    messages = everything()
    assert len(read) == len(messages)
    model = {topic.name: topic.event for topic in ALL}
    for event, (topic, message) in zip(read, messages, strict=True):
        ours = from_message(model[topic], message.value, message.headers)
        assert event["valid"] is True
        assert event["type"] == ours.event_type
        assert event["specversion"] == "1.0"
        assert event["id"]
        if ours.is_binary:
            assert base64.b64decode(event["data"]) == message.value
            assert (topic == FRAMES.name) == ({"line", "partid"} <= set(event["extensions"]))
        else:
            assert event["data"] == json.loads(message.value)


KEY_FIELDS = {"product": "product_id", "frame id": "frame_id", "original key": "original_key"}


def test_keys_are_what_the_topics_promise() -> None:
    topics = {topic.name: topic for topic in ALL}
    for name, message in everything():
        event = from_message(topics[name].event, message.value, message.headers)
        part = getattr(event, "frame", event)
        values = [
            "2" if word == "slot" else str(getattr(part, KEY_FIELDS.get(word, word)))
            for word in topics[name].key.split("/")
        ]
        assert message.key.decode() == "/".join(values), name
