"""What can still be read of a frame whose headers do not validate: pure, never raises."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from streams.envelope import Headers, header_dict
from streams.events import PartOnLine
from streams.kafka.delivery import Delivery, salvaged_frame_id

DEFAULT_WINDOW_MS = 1000
"""Result window assumed when the event's own cannot be read, milliseconds."""
_NEEDED = ("line", "station", "product_id", "plc_boot_id", "trigger_seq")


def attributes(headers: Headers) -> dict[str, str]:
    """Header names without ``ce_``, and their text."""
    return {name.removeprefix("ce_"): text for name, text in header_dict(headers).items()}


def nested_attributes(text: str) -> dict[str, Any]:
    """The fields of a JSON header, such as an anomaly's frame; empty when it is not an object."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def salvage(delivery: Delivery, fields: Mapping[str, object]) -> PartOnLine | None:
    """The part behind a malformed event, or None when the PLC's sequence cannot be read.

    Args:
        delivery: the record; its position gives the identity when the event's is unreadable.
        fields: header names without ``ce_`` and underscores, and their text.
    """
    by_attribute = {name.replace("_", ""): name for name in PartOnLine.model_fields}
    read: dict[str, Any] = {}
    for attribute, text in fields.items():
        name = by_attribute.get(attribute.replace("_", ""))
        if name is not None and _validates(name, text):
            read[name] = text
    if any(name not in read for name in _NEEDED):
        return None
    arrived = datetime.fromtimestamp(delivery.produced_s or delivery.arrived_s, tz=UTC)
    window = read.setdefault("result_window_ms", DEFAULT_WINDOW_MS)
    read.setdefault("captured_at", arrived)
    read.setdefault("deadline", arrived + timedelta(milliseconds=int(window)))
    read.setdefault("part_id", "")
    read.setdefault(
        "frame_id", salvaged_frame_id(delivery.topic, delivery.partition, delivery.offset)
    )
    try:
        return PartOnLine.model_validate(read)
    except ValidationError:
        return None


def readable_frame_id(fields: Mapping[str, object]) -> UUID | None:
    """The frame id among unvalidated fields, if it is one."""
    try:
        return UUID(str(fields.get("frameid") or fields.get("frame_id")))
    except ValueError:
        return None


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    kinds: dict[str, Any] = {
        name: Annotated[info.annotation, info] for name, info in PartOnLine.model_fields.items()
    }
    return {name: TypeAdapter(kind) for name, kind in kinds.items()}


def _validates(name: str, text: Any) -> bool:
    try:
        _adapters()[name].validate_python(text)
    except ValidationError:
        return False
    return True
