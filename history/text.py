"""Text from outside, made fit for PostgreSQL: NUL and lone surrogates have no place in it.

Each such character becomes U+FFFD, so that the rest is kept and the damage stays visible.
Everything else (SQL, emoji, newlines) is data and passes unchanged.
"""

import json
import math
import re
from collections.abc import Mapping, Set
from types import MappingProxyType

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

_UNFIT = re.compile("[\x00\ud800-\udfff]")
_JOINERS = "\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """The text with every NUL and lone surrogate replaced by U+FFFD.

    >>> clean("lot\\x00 7")
    'lot\ufffd 7'
    """
    return _UNFIT.sub(_REPLACEMENT, text)


def visible(text: str) -> str:
    """For a terminal or a table: control and direction characters as escapes, one line."""
    return "".join(c if _prints(c) else c.encode("unicode_escape").decode() for c in text)


def _prints(character: str) -> bool:
    return character.isprintable() or character in _JOINERS


def clean_json(value: object) -> object:
    """``clean`` on every string inside a JSON-like value, names of fields included.

    A number that JSON has no word for (infinite, not a number) becomes null.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(k)): clean_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def event_json(event: BaseModel, without: Set[str] = frozenset()) -> str:
    """The event as JSON that ``jsonb`` takes, unknown fields included.

    Fields at their default are left out, a third of what an event takes on disk, and so are those
    in ``without``, which columns hold: whoever reads it by its model has them again (``whole``).
    """
    left_out = set(without)
    try:
        text = event.model_dump_json(exclude_defaults=True, exclude=left_out)
    except PydanticSerializationError:  # a lone surrogate in a field that no type checks
        fields = event.model_dump(mode="python", exclude_defaults=True, exclude=left_out)
        dumped = clean_json(fields)
        return json.dumps(to_jsonable_python(dumped, serialize_unknown=True))
    if "\\u0000" not in text:
        return text
    return json.dumps(clean_json(json.loads(text)))


def whole(
    model: type[BaseModel],
    event: dict[str, object],
    columns: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """A recorded event with the fields that were left out; as it is where it is none any more."""
    stated = {name: value for name, value in columns.items() if name in model.model_fields}
    try:
        return model.model_validate(stated | event).model_dump(mode="json")
    except (ValidationError, PydanticSerializationError):
        return {**to_jsonable_python(stated), **event}
