"""The AsyncAPI document is the one the code says, and real messages fit it."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from streams.asyncapi import document, to_yaml
from streams.envelope import header_dict, to_message
from streams.topics import ALL, DEAD, FRAMES
from tests.streams.made import frame

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"


def resolve(found: dict[str, Any], reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [v for k, v in value.items() if k == "$ref" and isinstance(v, str)]
        return own + [r for v in value.values() for r in references(v)]
    if isinstance(value, list):
        return [r for v in value for r in references(v)]
    return []


def test_the_committed_document_is_current() -> None:
    assert COMMITTED.read_text() == to_yaml(document()), (
        "docs/asyncapi.yaml has drifted: python -m streams.asyncapi > docs/asyncapi.yaml"
    )


def test_it_is_yaml_that_reads_back() -> None:
    assert YAML(typ="safe").load(to_yaml(document())) == document()


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    found = references(whole)
    assert len(found) > 30
    for reference in found:
        assert resolve(whole, reference)


def test_every_topic_has_a_channel_and_somebody_at_both_ends() -> None:
    names = {topic.name for topic in ALL}
    assert {c["address"] for c in document()["channels"].values()} == names
    for action in ("send", "receive"):
        used = [o for o in document()["operations"].values() if o["action"] == action]
        assert {f"andon.{o['channel']['$ref'].rpartition('/')[2]}" for o in used} == names


@pytest.mark.parametrize("topic", [FRAMES, DEAD])
def test_image_topics_say_that_the_value_is_bytes(topic: Any) -> None:
    message = document()["components"]["messages"][topic.event.__name__]
    assert message["payload"]["format"] == "binary"


def test_a_real_frame_has_the_headers_of_the_document() -> None:
    message = document()["components"]["messages"]["Frame"]
    sent = header_dict(to_message(frame(), b"x").headers)
    assert set(sent) <= set(message["headers"]["properties"])
    assert set(message["headers"]["required"]) <= set(sent)


def test_each_topic_says_its_own_key() -> None:
    channels = document()["channels"]
    for topic in ALL:
        (reference,) = channels[topic.name.removeprefix("andon.")]["messages"].values()
        message = resolve(document(), reference["$ref"])
        assert message["bindings"]["kafka"]["key"]["description"] == f"UTF-8: {topic.key}."


def test_the_schemas_are_json_schema() -> None:
    for schema in document()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
