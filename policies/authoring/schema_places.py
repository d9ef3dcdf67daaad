"""What the schema says of a place in a policy: the keys, the words, whether it is a condition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from policies.authoring.schema import SchemaNode, json_schema


@dataclass(frozen=True)
class SchemaKey:
    """One key that a mapping can have."""

    about: str
    is_plain: bool
    """Whether its value stands on the same line."""


@dataclass(frozen=True)
class SchemaPart:
    """What can stand at a place."""

    keys: Mapping[str, SchemaKey]
    words: Mapping[str, str]
    """Words that a value can be, with what is known of them."""
    is_condition: bool


@cache
def _schema() -> SchemaNode:
    return SchemaNode.model_validate(json_schema())


def schema_part(path: Sequence[str]) -> SchemaPart | None:
    """What the schema knows of a path; None where it knows nothing.

    Args:
        path: keys from the document down; ``*`` is any item of a list.

    >>> sorted(schema_part(["limits", "many", "action", "*"]).words)
    ['hold', 'pass', 'rework', 'scrap']
    """
    nodes = [_schema()]
    for step in path:
        nodes = [inner for node in nodes for inner in _step(node, step)]
    if not nodes:
        return None
    keys = {
        name: SchemaKey(_sentence(entry), _is_plain(entry))
        for node in nodes
        for name, entry in node.properties.items()
    }
    words = {word: "" for node in nodes for word in _words(node)}
    return SchemaPart(keys, words, list(path[-1:]) == ["when"])


def _resolved(node: SchemaNode) -> Iterator[SchemaNode]:
    """The alternatives of a node, followed to where they are defined."""
    if node.ref:
        yield from _resolved(_schema().defs[node.ref.rsplit("/", 1)[-1]])
    elif node.any_of:
        for one in node.any_of:
            yield from _resolved(one)
    else:
        yield node


def _step(node: SchemaNode, step: str) -> Iterator[SchemaNode]:
    if step == "*":
        items = node.items or next(iter(node.prefix_items), None)
        yield from _resolved(items) if items is not None else ()
    elif step in node.properties:
        yield from _resolved(node.properties[step])
    else:
        for named in node.named.values():
            yield from _resolved(named)


def _words(node: SchemaNode) -> Iterator[str]:
    if node.type == "boolean":
        yield from ("true", "false")
    elif node.const is not None:
        yield str(node.const)
    yield from node.enum


def _is_plain(entry: SchemaNode) -> bool:
    return all(not n.properties and not n.named and n.type != "array" for n in _resolved(entry))


def _sentence(entry: SchemaNode) -> str:
    """What the schema says of a key, as one line."""
    return " ".join(entry.description.replace("``", "").split())
