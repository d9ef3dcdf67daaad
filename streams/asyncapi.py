"""The AsyncAPI 3.0 document of the line, generated from the topics and events.

``python -m streams.asyncapi > docs/asyncapi.yaml``; a test compares the two.
"""

import sys
from typing import cast

from streams import topics
from streams.envelope import attribute_of, is_structured
from streams.events import Event
from streams.principals import ACCESS, Role
from streams.topics import ALL, MAX_MESSAGE_BYTES, Topic

Schema = dict[str, object]
VERSION = "3.0.0"
_CLOUDEVENTS: Schema = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {"type": "string", "description": "Identity: redelivery repeats it."},
    "ce_source": {"type": "string", "format": "uri-reference"},
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_subject": {"type": "string"},
    "traceparent": {"type": "string", "description": "W3C Trace Context, of what is traced."},
}


def document() -> Schema:
    """The whole document as plain values, in a stable order."""
    schemas: Schema = {}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Andon",
            "version": "1.0.0",
            "description": (
                "Visual inspection of a production line: CloudEvents 1.0 over Kafka. Image topics "
                "are in binary content mode: the picture is the value, every field of the event a "
                "header (ce_ and the field's name without underscores; nested fields as JSON). "
                "Headers are UTF-8 text, numbers and true or false included; one without a value "
                "is left out. "
                "Unknown fields are kept; a breaking change has a new major version in ce_type."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_name(topic): _channel(topic) for topic in ALL},
        "operations": _operations(),
        "components": {
            "messages": {_message_name(t): _message(t, schemas) for t in ALL},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def to_yaml(value: object) -> str:
    """The document as YAML."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 100
    yaml.representer.ignore_aliases = lambda *_: True
    buffer = StringIO()
    buffer.write("# Generated: python -m streams.asyncapi > docs/asyncapi.yaml\n")
    yaml.dump(value, buffer)
    return buffer.getvalue()


def _channel(topic: Topic) -> Schema:
    name = _message_name(topic)
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": topic.cleanup.split(","),
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": MAX_MESSAGE_BYTES,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations() -> Schema:
    """Who sends each topic and who receives it, as the rights of the roles say."""
    found: Schema = {}
    for action in ("send", "receive"):
        for topic in ALL:
            access = ACCESS[topic.name]
            ends = access.writers if action == "send" else access.readers
            for role in (role.value for role in Role if role in ends):
                found[f"{role}.{action}.{_name(topic)}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{_name(topic)}"},
                    "summary": f"{role} {action}s {topic.event.__name__}",
                }
    return found


def _message(topic: Topic, schemas: Schema) -> Schema:
    event = topic.event
    headers: Schema = _CLOUDEVENTS | {"ce_type": {"type": "string", "const": event.event_type}}
    required = ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"]
    payload: Schema = {"$ref": f"#/components/schemas/{event.__name__}"}
    _add_schema(event, schemas)
    if event.is_binary:
        fields, needed = _header_schemas(event)
        headers |= fields
        required += needed
        payload = {
            "type": "string",
            "format": "binary",
            "maxLength": topics.INLINE_LIMIT_BYTES,
            "description": "The original bytes; empty when ce_dataref names an object.",
        }
    content_type = "application/octet-stream" if event.is_binary else "application/json"
    headers["content-type"] = (
        {"type": "string", "description": "The picture's media type."}
        if "content_type" in event.model_fields
        else {"type": "string", "const": content_type}
    )
    return {
        "name": event.event_type,
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip().splitlines()[0],
        "contentType": content_type,
        "headers": {"type": "object", "properties": headers, "required": required},
        "payload": payload,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"UTF-8: {topic.key}."},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _header_schemas(event: type[Event]) -> tuple[Schema, list[str]]:
    """Each field as the text of a header: nested ones are JSON of their schema."""
    schema = event.model_json_schema(ref_template="#/components/schemas/{model}")
    headers: Schema = {}
    for name, info in event.model_fields.items():
        found: Schema = schema["properties"][name]
        if is_structured(info.annotation):
            found = {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": found,
            }
        headers["ce_" + attribute_of(name)] = _as_text(found, schema.get("$defs", {}))
    fields = event.model_fields.items()
    needed = ["ce_" + attribute_of(name) for name, info in fields if info.is_required()]
    return headers, needed


_TEXTS: dict[str, Schema] = {
    "integer": {"type": "string", "pattern": "^-?[0-9]+$"},
    "number": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"},
    "boolean": {"type": "string", "enum": ["true", "false"]},
}
"""How a value of JSON stands in a header: every header is text."""


def _as_text(schema: Schema, others: Schema) -> Schema:
    """The schema of a value's text; a value that may be null has no header then."""
    choices = cast(list[Schema], schema.get("anyOf", ()))
    if choices:
        first = next(one for one in choices if one.get("type") != "null")
        about: Schema = {key: schema[key] for key in schema if key in ("title", "description")}
        return _as_text(first, others) | about
    reference = schema.get("$ref")
    meant = cast(Schema, others[str(reference).rsplit("/", 1)[-1]]) if reference else schema
    text = _TEXTS.get(str(meant.get("type")))
    if text is None:
        return {key: schema[key] for key in schema if key != "default" or schema[key]}
    if meant.get("type") == "integer" and "enum" in meant:
        text = {"type": "string", "enum": [str(n) for n in cast(list[int], meant["enum"])]}
    words = [str(schema["description"])] if "description" in schema else []
    words += [f"{key} {schema[key]}" for key in schema if "imum" in key.lower()]
    about = {"title": schema["title"]} if "title" in schema else {}
    return about | text | ({"description": "; ".join(words)} if words else {})


def _add_schema(event: type[Event], schemas: Schema) -> None:
    schema = event.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, nested in schema.pop("$defs", {}).items():
        schemas[name] = nested
    schemas[event.__name__] = schema


def _message_name(topic: Topic) -> str:
    """The event's name; two topics of one event have keys of their own, so two messages."""
    first = next(t for t in ALL if t.event is topic.event)
    event = topic.event.__name__
    return event if topic is first else f"{event}Of{_name(topic).capitalize()}"


def _name(topic: Topic) -> str:
    return topic.name.removeprefix("andon.")


if __name__ == "__main__":
    sys.stdout.write(to_yaml(document()))
