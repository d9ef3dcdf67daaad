"""What a condition holds for: as a union of boxes, and by the values at which it can change.

The boxes answer whether a condition can be true, lies inside another or overlaps it; the values
are what has to be tried to find a case for which two policies differ. Both read a condition atom by
atom. An atom that is no comparison of one name with literals is opaque to the boxes: it is only
ever equal to itself. Their answers are exact for the other conditions and on the safe side (fewer
findings) otherwise.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from math import isfinite

from policies.conditions.expression import (
    Binary,
    Expression,
    Membership,
    Name,
    Number,
    Text,
    Truth,
    Unary,
    unparse,
    variables_of,
    walk,
)
from policies.conditions.variables import SHARES, VARIABLES, Value, Vocabulary

MAX_BOXES = 64
_INFINITY = float("inf")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_NEGATED = {"<": ">=", ">": "<=", "<=": ">", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True)
class Interval:
    """Numbers between two bounds; each bound may be left out."""

    low: float = 0.0
    high: float = _INFINITY
    low_open: bool = False
    high_open: bool = False

    def meet(self, other: "Interval") -> "Interval":
        """What is in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Interval(low, high, low_open, not closed)

    @property
    def empty(self) -> bool:
        """Whether no number is inside."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))


@dataclass(frozen=True)
class Choice:
    """Texts: one of ``names``, or with ``excluded`` any text but these."""

    names: frozenset[str]
    excluded: bool = False

    def meet(self, other: "Choice") -> "Choice":
        """What is in both."""
        if self.excluded and other.excluded:
            return Choice(self.names | other.names, True)
        if self.excluded:
            return Choice(other.names - self.names)
        return Choice(self.names - other.names if other.excluded else self.names & other.names)

    @property
    def empty(self) -> bool:
        """Whether no text is inside."""
        return not self.excluded and not self.names


Values = Interval | Choice
"""What one name may be."""


def _meet(one: Values, two: Values) -> Values:
    if isinstance(one, Interval) and isinstance(two, Interval):
        return one.meet(two)
    assert isinstance(one, Choice)
    assert isinstance(two, Choice)
    return one.meet(two)


@dataclass(frozen=True)
class Box:
    """A product of intervals and choices, with opaque atoms and whether they hold."""

    values: dict[str, Values] = field(default_factory=dict)
    opaque: frozenset[tuple[str, bool]] = frozenset()

    def meet(self, other: "Box") -> "Box":
        """What is in both."""
        values = dict(self.values)
        for name, found in other.values.items():
            values[name] = _meet(values[name], found) if name in values else found
        return Box(values, self.opaque | other.opaque)

    def can_be_of(self, class_name: str) -> bool:
        """Whether the part may be of this class."""
        found = self.values.get("class")
        return isinstance(found, Choice) and (class_name in found.names) is not found.excluded

    @property
    def empty(self) -> bool:
        """Whether no situation is inside."""
        return any(values.empty for values in self.values.values()) or any(
            (atom, not holds) in self.opaque for atom, holds in self.opaque
        )

    def within(self, other: "Box") -> bool:
        """Whether every situation of this box is certainly in the other."""
        return other.opaque <= self.opaque and all(
            name in self.values
            and (self.values[name].empty or _meet(self.values[name], values) == self.values[name])
            for name, values in other.values.items()
        )


class Space:
    """The situations that rules are asked about: domains of the names under one policy."""

    def __init__(self, vocabulary: Vocabulary, unsure_below: float) -> None:
        self._unsure_below = unsure_below
        whole: dict[str, Values] = {n: Interval() for n, v in VARIABLES.items() if v.kind is float}
        whole |= {name: Interval(0.0, 1.0) for name in SHARES}
        whole["score"] = Interval(-_INFINITY)
        for name in VARIABLES:
            if (options := vocabulary.options(name)) is not None:
                whole[name] = Choice(options)
        self._whole = Box(whole)

    def of_class(self, name: str) -> Box:
        """Every situation of one class that reaches the rules."""
        found = self._clip(Box({"class": Choice(frozenset({name}))}))
        assert found is not None
        return found

    def boxes(self, condition: Expression) -> list[Box] | None:
        """The non-empty boxes of a condition; None when they are too many to look at."""
        found = _boxes(condition, True)
        if found is None:
            return None
        clipped = (self._clip(box) for box in found)
        return [box for box in clipped if box is not None]

    def _clip(self, box: Box) -> Box | None:
        box = self._whole.meet(box)
        if not box.can_be_of("unknown"):
            box = box.meet(Box({"confidence": Interval(self._unsure_below, 1.0)}))
        return None if box.empty else box


def _boxes(node: Expression, holds: bool) -> list[Box] | None:
    match node:
        case Truth():
            return [Box()] if node.value is holds else []
        case Unary() if node.op == "!":
            return _boxes(node.operand, not holds)
        case Binary() if node.op in ("&&", "||"):
            left, right = _boxes(node.left, holds), _boxes(node.right, holds)
            if left is None or right is None:
                return None
            if (node.op == "&&") is not holds:
                found = left + right
            elif len(left) * len(right) > MAX_BOXES:
                return None
            else:
                found = [a.meet(b) for a, b in product(left, right)]
            return found if len(found) <= MAX_BOXES else None
        case _:
            return _atom(node, holds)


def critical_values(condition: Expression) -> dict[str, set[Value]]:
    """The values at which a condition can change its mind, by name.

    >>> from policies.conditions.parser import parse
    >>> critical_values(parse("area_px > 40 && zone == 'rim'"))
    {'area_px': {40.0}, 'zone': {'rim'}}
    """
    found: dict[str, set[Value]] = defaultdict(set)
    for atom in _atoms(condition):
        for box in _atom(atom, True):
            for name, values in box.values.items():
                if isinstance(values, Choice):
                    found[name].update(values.names)
                else:
                    found[name].update(v for v in (values.low, values.high) if isfinite(v))
            if box.opaque:
                literals = [n.value for n in walk(atom) if isinstance(n, Number | Text)]
                for name in variables_of(atom):
                    kind = VARIABLES[name].kind
                    found[name].update(v for v in literals if isinstance(v, kind))
    return dict(found)


def classes_named(condition: Expression) -> frozenset[str] | None:
    """The classes that a condition tells from all others; None where it looks at parts of names.

    >>> from policies.conditions.parser import parse
    >>> sorted(classes_named(parse("class in ['a', 'b'] || area_px > 40")))
    ['a', 'b']
    >>> classes_named(parse("class.startsWith('a')"))
    """
    found: set[str] = set()
    for atom in _atoms(condition):
        if "class" in variables_of(atom):
            for box in _atom(atom, True):
                values = box.values.get("class")
                if not isinstance(values, Choice):
                    return None
                found |= values.names
    return frozenset(found)


def _atoms(node: Expression) -> Iterator[Expression]:
    match node:
        case Unary() if node.op == "!":
            yield from _atoms(node.operand)
        case Binary() if node.op in ("&&", "||"):
            yield from _atoms(node.left)
            yield from _atoms(node.right)
        case _:
            yield node


def _atom(node: Expression, holds: bool) -> list[Box]:
    match node:
        case Membership() if isinstance(node.operand, Name):
            return _membership(node.operand.name, node, holds)
        case Binary():
            return _comparison(node, holds)
        case _:
            return [Box(opaque=frozenset({(unparse(node), holds)}))]


def _membership(name: str, node: Membership, holds: bool) -> list[Box]:
    words = frozenset(o.value for o in node.options if isinstance(o, Text))
    if words:
        return [Box({name: Choice(words, not holds)})]
    if not holds:
        return [Box(opaque=frozenset({(unparse(node), False)}))]
    numbers = (o.value for o in node.options if isinstance(o, Number))
    return [Box({name: Interval(n, n)}) for n in numbers]


def _comparison(node: Binary, holds: bool) -> list[Box]:
    left, right, op = node.left, node.right, node.op
    if isinstance(right, Name):
        left, right, op = right, left, _FLIPPED[op]
    if not holds:
        op = _NEGATED[op]
    if isinstance(left, Name) and isinstance(right, Text):
        return [Box({left.name: Choice(frozenset({right.value}), op == "!=")})]
    value = _literal(right)
    if isinstance(left, Name) and value is not None:
        return [Box({left.name: i}) for i in _intervals(op, value)]
    return [Box(opaque=frozenset({(unparse(replace(node, op=op)), True)}))]


def _literal(node: Expression) -> float | None:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Unary) and node.op == "-" and isinstance(node.operand, Number):
        return -node.operand.value
    return None


def _intervals(op: str, value: float) -> list[Interval]:
    below = Interval(-_INFINITY, value)
    above = Interval(value)
    return {
        "<": [replace(below, high_open=True)],
        "<=": [below],
        ">": [replace(above, low_open=True)],
        ">=": [above],
        "==": [Interval(value, value)],
        "!=": [replace(below, high_open=True), replace(above, low_open=True)],
    }[op]
