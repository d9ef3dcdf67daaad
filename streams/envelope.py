"""CloudEvents 1.0 over Kafka, binary content mode: events to messages and back.

Image topics carry the picture as the value and every field of the event as a header
(``ce_partid``, ``ce_deadline`` ...; nested fields as JSON). JSON topics carry the event as the
value. Headers that no field claims are kept as extra fields.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import TypeVar, Union, get_args, get_origin
from urllib.parse import quote

from cloudevents.core.bindings.kafka import to_binary_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import BaseModel, ValidationError

from streams.changeovers import ChangeoverStep
from streams.errors import MalformedEventError, MissingHeaderError, UnsupportedSchemaError
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    CountedPart,
    DeadLetter,
    Decision,
    Event,
    PartOnLine,
    PolicyInForce,
    Review,
)
from streams.status import ProcessStatus

_CREATED = 0
"""Kafka's type of a record's timestamp that its sender gave it (CreateTime)."""
_LATEST_S = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""As the times of events are bounded."""
MAX_JSON_BYTES = 2 << 20
"""Longest JSON that is read: the value of a JSON topic, or one structured header."""
MAX_VALUES = 50_000
"""Most values in it, counted by commas: reading so many takes about 7 ms of the event loop, and a
thread would hold the interpreter as long."""
MAX_DEPTH = 32
"""Deepest nesting of objects and lists that is read."""
_PREFIX = "ce_"
_CONTENT_TYPE = "content-type"
_BYTES = "application/octet-stream"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STANDARD = {"id", "type", "source", "specversion", "time", "subject", "dataschema"}
E = TypeVar("E", bound=Event)
Identity = tuple[str, str, str, datetime | None, str]
"""CloudEvents id, source, subject and time; and the Kafka key."""
Headers = Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None


@dataclass(frozen=True)
class Message:
    """What goes to, or came from, one Kafka record."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    partition: int | None = None
    """For what a role partitions by itself; None: by the key, as everything of the gateway."""


def to_message(event: Event, value: bytes = b"") -> Message:
    """Encode. ``value`` is the picture (or original bytes) of an image topic's event.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 11, 28, tzinfo=UTC)
    >>> policy = PolicyInForce(product_id="tile", policy_hash="70170c", body={}, applied_at=at)
    >>> message = to_message(policy)
    >>> message.key, json.loads(message.value)["policy_hash"]
    (b'tile', '70170c')
    """
    identity, source, subject, time, key = _identity(event)
    attributes: dict[str, object] = {
        "id": identity,
        "type": event.event_type,
        "source": source,
        "specversion": "1.0",
    }
    if subject:
        attributes["subject"] = subject
    if time is not None:
        attributes["time"] = time
    if event.is_binary:
        attributes["datacontenttype"] = getattr(event, "content_type", "") or _BYTES
        data, fields = value, _header_fields(event)
    else:
        attributes["datacontenttype"] = "application/json"
        data, fields = event.model_dump_json().encode(), {}
    message = to_binary_event(CloudEvent(attributes=attributes, data=b""), JSONFormat())
    headers = [(k, v) for k, v in message.headers.items()]
    headers += [(_PREFIX + name, text.encode()) for name, text in fields.items()]
    return Message(key.encode(), data, tuple(headers))


def from_message(model: type[E], value: bytes | None, headers: Headers) -> E:
    """Decode and validate.

    Raises:
        MissingHeaderError: no ``ce_type``, or a required field's header is absent.
        UnsupportedSchemaError: another event type or a future major version.
        MalformedEventError: anything else that does not validate. Nothing that a message contains
            raises another error than these three.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 11, 28, tzinfo=UTC)
    >>> policy = PolicyInForce(product_id="tile", policy_hash="70170c", body={}, applied_at=at)
    >>> message = to_message(policy)
    >>> from_message(PolicyInForce, message.value, message.headers) == policy
    True
    """
    found = header_dict(headers)
    _check_type(model, found)
    if model.is_binary:
        return _validate(model, _fields_from_headers(model, found))
    try:
        body = read_json(value or b"")
    except ValueError as error:
        raise MalformedEventError(f"{model.event_type}: the value is not JSON: {error}") from error
    return _validate(model, body)


def read_json(text: str | bytes) -> object:
    """JSON from outside, bounded in length and depth: ``json.loads`` ends a process that is sent
    brackets enough.

    Raises:
        ValueError: no JSON, or over one of the bounds.

    >>> read_json(b'{"part": [1, 2]}')
    {'part': [1, 2]}
    >>> read_json('"half \\\\ud800 a character"') == "half \N{REPLACEMENT CHARACTER} a character"
    True
    >>> read_json("[" * 200_000)
    Traceback (most recent call last):
    ValueError: nested over 32 deep
    """
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{len(text)} characters, at most {MAX_JSON_BYTES} are read")
    plain = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if plain.count(b",") > MAX_VALUES:
        raise ValueError(f"over {MAX_VALUES} values")
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested over {MAX_DEPTH} deep") from None
    if plain.count(b"[") + plain.count(b"{") > MAX_DEPTH:
        _check_depth(found)
    return _without_surrogates(found) if _SURROGATE.search(plain) else found


def _without_surrogates(found: object) -> object:
    """Half a character, which no database and no wire can hold, becomes U+FFFD."""
    text = json.dumps(found, ensure_ascii=False)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    clean: object = json.loads(whole)
    return clean


def _check_depth(found: object) -> None:
    level = [v for v in (found,) if isinstance(v, dict | list)]
    for _ in range(MAX_DEPTH):
        below = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in below for v in values if isinstance(v, dict | list)]
        if not level:
            return
    raise ValueError(f"nested over {MAX_DEPTH} deep")


def header_dict(headers: Headers) -> dict[str, str]:
    """Kafka headers as text; bytes that are not UTF-8 are replaced, never raised on."""
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    return {name: (raw or b"").decode("utf-8", "replace") for name, raw in items}


def _check_type(model: type[Event], found: Mapping[str, str]) -> None:
    if not found and not model.is_binary:
        return  # plain JSON from a hand-written client: the body's validation decides
    actual = found.get(_PREFIX + "type")
    if actual is None:
        raise MissingHeaderError(f"header ce_type is missing; expected {model.event_type!r}")
    if actual != model.event_type:
        raise UnsupportedSchemaError(
            f"event type {actual!r} is not supported here, this build reads {model.event_type!r}; "
            "upgrade the consumer before the producer"
        )


def _validate(model: type[E], fields: object) -> E:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [(".".join(map(str, e["loc"])), e["type"], e["msg"]) for e in found]
        text = "; ".join(f"{where or 'value'}: {message}" for where, _, message in problems[:5])
        kind = (
            MissingHeaderError
            if model.is_binary and any(t == "missing" for _, t, _ in problems)
            else MalformedEventError
        )
        raise kind(f"{model.event_type}: {text}") from error


def _header_fields(event: Event) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in event.model_dump(mode="json").items():
        header = name if name in (event.model_extra or {}) else attribute_of(name)
        if value is not None and header not in _STANDARD:
            fields[header] = value if isinstance(value, str) else json.dumps(value)
    return fields


def _fields_from_headers(model: type[Event], found: Mapping[str, str]) -> dict[str, object]:
    known = _attributes(model)
    fields: dict[str, object] = {}
    for header, text in found.items():
        name = header.removeprefix(_PREFIX)
        if not header.startswith(_PREFIX) or name in _STANDARD:
            continue
        field, structured = known.get(name, (name, False))
        if structured:
            try:
                fields[field] = read_json(text)
            except ValueError as error:
                raise MalformedEventError(f"header {header} is not JSON: {error}") from error
        else:
            fields[field] = text
    if "content_type" in model.model_fields and _CONTENT_TYPE in found:
        fields.setdefault("content_type", found[_CONTENT_TYPE])
    return fields


def attribute_of(field: str) -> str:
    """A field's name as a CloudEvents attribute: lower-case letters and digits only.

    >>> attribute_of("plc_boot_id")
    'plcbootid'
    """
    return field.replace("_", "")


@cache
def _attributes(model: type[Event]) -> dict[str, tuple[str, bool]]:
    return {
        attribute_of(name): (name, is_structured(info.annotation))
        for name, info in model.model_fields.items()
    }


def is_structured(annotation: object) -> bool:
    """Whether a field of this type travels as JSON in its header."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(is_structured(a) for a in get_args(annotation))
    if origin in (dict, list, tuple):
        return True
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _identity(event: Event) -> Identity:
    match event:
        case Anomaly():
            return _of_part(event.frame, str(event.frame.frame_id), event.frame.captured_at)
        case Decision():
            return _of_part(event, str(event.result_id), event.decided_at)
        case Acknowledgement():
            return _of_part(event, f"{event.result_id}/{event.outcome.value}", event.captured_at)
        case PartOnLine():
            return _of_part(event, str(event.frame_id), event.captured_at)
        case Review():
            frame = str(event.frame_id)
            return str(event.review_id), "/andon/reviews", frame, event.reviewed_at, frame
        case DeadLetter():
            letter, source = str(event.letter_id), f"/andon/{event.stage.value}"
            return letter, source, event.original_key, event.failed_at, event.original_key
        case PolicyInForce():
            product = event.product_id
            return event.policy_hash, "/andon/policies", product, event.applied_at, product
        case CountedPart():
            key = f"{event.line}/{event.product_id}"
            time = event.decided_at
            return f"{key}/{event.number}", "/andon/limits", str(event.frame_id), time, key
        case Alert():
            key = f"{event.line}/{event.product_id}"
            return str(event.alert_id), "/andon/limits", event.limit, event.raised_at, key
        case ChangeoverStep():
            step, source = str(event.step_id), f"/andon/{event.stage.value}"
            return step, source, event.recipe_name, event.at, event.key
        case ProcessStatus():
            said = f"{event.key}/{event.started_at.timestamp():.3f}/{event.number}"
            return said, "/andon/status", event.key, event.at, event.key
    raise TypeError(f"{type(event).__name__} is no message of its own")


def _of_part(part: PartOnLine, identity: str, time: datetime) -> Identity:
    segments = (part.enterprise, part.site, part.area, part.line, part.station)
    source = "/" + "/".join(quote(s, safe=":") for s in segments if s)
    return identity, source, part.part_id, time, part.key


def sent_s(timestamp_s: float, kind: int) -> float | None:
    """When a record was sent, by its sender's clock; None where its timestamp does not say.

    Senders that count in micro- or nanoseconds, or in none, are in no year that an event may be of.

    >>> sent_s(1_764_504_000.5, 0), sent_s(1_764_504_000_500.0, 0), sent_s(-0.001, 0)
    (1764504000.5, None, None)
    """
    return timestamp_s if kind == _CREATED and 0 <= timestamp_s <= _LATEST_S else None
