"""What can stand at a place of a policy that is being written: keys, words, names of conditions.

The text up to the cursor is read with a mark behind it, so that YAML itself says where the cursor
is: in braces, over several lines, within quotes. Whatever stands behind it may be broken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from policies.authoring.condition_words import Offer, condition_offers
from policies.authoring.lints import LINTS
from policies.authoring.policy_names import keys_behind, names_given
from policies.authoring.schema_places import SchemaPart, schema_part
from policies.authoring.yaml_tree import MAX_BYTES, are_brackets_too_deep

_MARK: Final = "\ue000"
"""Stands for the cursor; a character that no policy has."""
_ENDS: Final = ("", ":", "'", '"', "':", '":')
"""What makes the text up to the cursor whole: nothing, a key's colon, a quote that is open."""
_ANY: Final = "*"


@dataclass(frozen=True)
class Offers:
    """What is offered, and where what was typed of it begins."""

    start: int
    """Index into the text: from here to the cursor is replaced."""
    offers: tuple[Offer, ...] = ()


@dataclass
class _Level:
    """One mapping or list that the cursor is in."""

    is_mapping: bool
    is_flow: bool
    column: int
    seen: list[str] = field(default_factory=list)
    """Keys of the mapping, or words of the list, so far."""
    key: str | None = None
    """The key whose value comes next."""

    @property
    def awaits_key(self) -> bool:
        return self.is_mapping and self.key is None

    def take(self, scalar: str) -> None:
        """Go past a scalar that is not the cursor's."""
        if self.is_mapping and self.key is not None:
            self.key = None
            return
        self.seen.append(scalar)
        if self.is_mapping:
            self.key = scalar


@dataclass(frozen=True)
class _Cursor:
    """Where the cursor is."""

    levels: Sequence[_Level]
    is_key: bool
    typed: str
    """The value, or key, as far as it is written."""
    own_line: bool
    """Whether nothing but blanks and dashes stands before it on its line."""


def complete(text: str, offset: int) -> Offers:
    """What can stand at ``offset`` of a policy's text.

    >>> found = complete("product: tile\\nclasses:\\n  pit: {severity: d", 43)
    >>> found.start, [offer.label for offer in found.offers]
    (42, ['defect'])
    """
    before, behind = text[:offset], text[offset:]
    if len(text) > MAX_BYTES or are_brackets_too_deep(before) or _MARK in text:
        return Offers(offset)
    cursor = _cursor(before)
    if cursor is None:
        return Offers(offset)
    path = [_ANY if level.key is None else level.key for level in cursor.levels]
    if cursor.is_key:
        path = path[:-1]
    part = schema_part(path)
    typed, offers = cursor.typed, list(_offers(cursor, path, part, text, behind))
    if part is not None and part.is_condition and not cursor.is_key:
        typed, offers = condition_offers(cursor.typed, names_given(text), "shots" in path)
    kept = [o for o in offers if o.label.lower().startswith(typed.lower())]
    return Offers(offset - len(typed), tuple(kept))


def _offers(
    cursor: _Cursor, path: Sequence[str], part: SchemaPart | None, text: str, behind: str
) -> Iterator[Offer]:
    """Keys where a key can stand, else the words of a value."""
    if part is None:
        return
    level = cursor.levels[-1] if cursor.levels else None
    begins = not cursor.is_key and cursor.own_line
    if part.keys and (cursor.is_key or begins):
        same = level is not None and cursor.is_key
        given = keys_behind(behind, level.column, level.is_flow) if level and same else set[str]()
        if level is not None and same:
            given |= set(level.seen)
        yield from (offer for offer in _keys(part) if offer.label not in given)
    elif not cursor.is_key:
        listed = set(level.seen) if level is not None and not level.is_mapping else set()
        words = part.words or _names_at(path, text)
        for label, detail in words.items():
            if label not in listed:
                yield Offer(label, label, "value", detail)


def _keys(part: SchemaPart) -> Iterator[Offer]:
    for name, entry in part.keys.items():
        yield Offer(name, f"{name}: " if entry.is_plain else f"{name}:", "key", entry.about)


def _names_at(path: Sequence[str], text: str) -> Mapping[str, str]:
    """Words that no schema knows: names which the document gives, and lints."""
    if path == ["limits", *path[1:2], "classes", _ANY]:
        return dict.fromkeys(names_given(text).classes, "")
    if path == ["silence", _ANY, "code"]:
        return _lints()
    return {}


@cache
def _lints() -> Mapping[str, str]:
    return dict(LINTS)


def _cursor(before: str) -> _Cursor | None:
    """Where the cursor is; None in a comment, and where what stands before it is no YAML."""
    line = before.rpartition("\n")[2]
    for end in _ENDS:
        found = _read(before + _MARK + end)
        if found is not None:
            levels, is_key, value = found
            typed = value.partition(_MARK)[0]
            alone = not line[: len(line) - len(typed)].strip(" -")
            return _Cursor(levels, is_key, typed, alone)
    return None


def _read(text: str) -> tuple[list[_Level], bool, str] | None:
    """The levels around the mark, whether it is in a key, and the scalar that it is in."""
    levels: list[_Level] = []
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, CollectionStartEvent):
                flow, column = bool(event.flow_style), event.start_mark.column
                levels.append(_Level(isinstance(event, MappingStartEvent), flow, column))
            elif isinstance(event, CollectionEndEvent):
                levels.pop()
                if levels:
                    levels[-1].key = None
            elif isinstance(event, ScalarEvent):
                top, value = levels[-1] if levels else None, str(event.value)
                if _MARK in value:
                    return levels, top is not None and top.awaits_key, value
                if top is not None:
                    top.take(value)
    except (YAMLError, RecursionError):
        pass
    return None
