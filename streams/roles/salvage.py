"""What can still be read of a frame whose headers do not validate: pure, never raises."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import ValidationError

from streams.envelope import Headers, attribute_of, header_dict, read_json
from streams.events import PartOnLine
from streams.kafka.delivery import Delivery, salvaged_frame_id

DEFAULT_WINDOW_MS = 1000
"""Result window assumed when the event's own cannot be read, milliseconds."""
_NEEDED = ("line", "station", "product_id", "plc_boot_id", "trigger_seq")

_OF_A_SHOT = {"shot", "shots_expected", "part_frame_id"}


def attributes(headers: Headers) -> dict[str, str]:
    """Header names without ``ce_``, and their text."""
    return {name.removeprefix("ce_"): text for name, text in header_dict(headers).items()}


def nested_attributes(text: str) -> dict[str, object]:
    """The fields of a JSON header, such as an anomaly's frame; empty when it is not an object."""
    try:
        found = read_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def salvage(delivery: Delivery, fields: Mapping[str, object]) -> PartOnLine | None:
    """The part behind a malformed event, or None when the PLC's sequence cannot be read.

    Args:
        delivery: the record; its position gives the identity when the event's is unreadable.
        fields: header names without ``ce_`` and underscores, and their text.
    """
    by_attribute = {attribute_of(name): name for name in PartOnLine.model_fields}
    found = {by_attribute.get(attribute_of(given), ""): text for given, text in fields.items()}
    bad = {"", *_invalid(found)}
    read = {name: text for name, text in found.items() if name not in bad}
    if any(name not in read for name in _NEEDED):
        return None
    several = "part_frame_id" in found or str(found.get("shots_expected", 1)) != "1"
    if several and not read.keys() >= _OF_A_SHOT:
        return None  # nobody can say which shot of which part it is: it counts as missing
    arrived = datetime.fromtimestamp(delivery.produced_s or time.time(), tz=UTC)
    window_ms = int(str(read.setdefault("result_window_ms", DEFAULT_WINDOW_MS)))
    guessed = {
        "captured_at": arrived,
        "deadline": arrived + timedelta(milliseconds=window_ms),
        "part_id": "",
        "frame_id": salvaged_frame_id(delivery),
    }
    try:
        return PartOnLine.model_validate(guessed | read)
    except ValidationError:
        return None


def readable_frame_id(fields: Mapping[str, object]) -> UUID | None:
    """The frame id among unvalidated fields, if it is one."""
    try:
        return UUID(str(fields.get("frameid") or fields.get("frame_id")))
    except ValueError:
        return None


def _invalid(fields: Mapping[str, object]) -> set[str]:
    """The fields that do not validate, or are missing."""
    try:
        PartOnLine.model_validate(fields)
    except ValidationError as error:
        return {str(problem["loc"][0]) for problem in error.errors()}
    return set()
