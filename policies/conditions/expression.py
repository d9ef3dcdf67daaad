"""The part of CEL that conditions may use, as a tree.

There are no macros, no comprehensions, no indexing and no string building, so that an expression
costs at most one visit per node. Every number is a double: ``count > 3`` runs as ``count > 3.0``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A variable."""

    name: str
    column: int


@dataclass(frozen=True)
class Number:
    """A literal number."""

    value: float
    column: int


@dataclass(frozen=True)
class Text:
    """A literal string."""

    value: str
    column: int


@dataclass(frozen=True)
class Truth:
    """``true`` or ``false``."""

    value: bool
    column: int


@dataclass(frozen=True)
class Unary:
    """``!x`` or ``-x``."""

    op: str
    operand: "Expression"
    column: int


@dataclass(frozen=True)
class Binary:
    """Logic (``&&``, ``||``), comparison or arithmetic."""

    op: str
    left: "Expression"
    right: "Expression"
    column: int


@dataclass(frozen=True)
class Membership:
    """``x in [a, b]``."""

    operand: "Expression"
    options: tuple[Text | Number, ...]
    column: int


@dataclass(frozen=True)
class Method:
    """A method of a text, such as ``lot.startsWith('A')``."""

    operand: Name
    method: str
    argument: Text
    column: int


Expression = Name | Number | Text | Truth | Unary | Binary | Membership | Method


def unparse(node: Expression) -> str:
    """The condition as CEL, every number a double and every group in parentheses."""
    match node:
        case Name():
            return node.name
        case Number():
            return repr(node.value)
        case Text():
            return json.dumps(node.value, ensure_ascii=False)
        case Truth():
            return "true" if node.value else "false"
        case Unary():
            return f"{node.op}({unparse(node.operand)})"
        case Binary():
            return f"({unparse(node.left)} {node.op} {unparse(node.right)})"
        case Membership():
            options = ", ".join(unparse(o) for o in node.options)
            return f"({unparse(node.operand)} in [{options}])"
        case Method():
            return f"{unparse(node.operand)}.{node.method}({unparse(node.argument)})"


def variables_of(tree: Expression) -> tuple[str, ...]:
    """The names that a condition looks at, in the order of the text, each once."""
    return tuple(dict.fromkeys(node.name for node in walk(tree) if isinstance(node, Name)))


def walk(node: Expression) -> Iterator[Expression]:
    """The node and everything below it."""
    yield node
    match node:
        case Unary():
            yield from walk(node.operand)
        case Binary():
            yield from walk(node.left)
            yield from walk(node.right)
        case Membership():
            yield from walk(node.operand)
            yield from node.options
        case Method():
            yield from (node.operand, node.argument)
