"""Types, units and known names of a condition: what CEL would only find out at run time."""

import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from policies.conditions.expression import (
    Binary,
    Expression,
    Membership,
    Method,
    Name,
    Number,
    Text,
    Truth,
    Unary,
)
from policies.conditions.variables import SHARES, Vocabulary
from policies.errors import ConditionError
from prompts.names import fold, look_of

Unit = tuple[int, int] | None
"""Exponents of millimetre and pixel; None is a literal, which goes with every unit."""
_UNIT_NAMES = {(1, 0): "mm", (2, 0): "mm²", (0, 1): "px", (0, 2): "px²", (0, 0): "no unit"}


@dataclass(frozen=True)
class _Type:
    kind: str
    """``bool``, ``text``, ``number`` or ``any`` after an error that is already reported."""
    unit: Unit = None


_ANY, _BOOL, _TEXT = _Type("any"), _Type("bool"), _Type("text")


def check(node: Expression, vocabulary: Vocabulary) -> list[ConditionError]:
    """Every error of the condition, in the order of the text."""
    checker = _Checker(vocabulary)
    found = checker.type_of(node)
    if found.kind not in ("bool", "any"):
        checker.error("this is a value, not a condition", "compare it: ... > 3", node.column)
    return sorted(checker.errors, key=lambda error: error.column)


class _Checker:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.errors: list[ConditionError] = []

    def error(self, reason: str, fix: str, column: int) -> _Type:
        self.errors.append(ConditionError(reason, fix, column))
        return _ANY

    def type_of(self, node: Expression) -> _Type:
        match node:
            case Truth():
                return _BOOL
            case Text():
                return _TEXT
            case Number():
                return _Type("number")
            case Name():
                return self._name(node)
            case Unary():
                return self._unary(node)
            case Method():
                return self._method(node)
            case Membership():
                return self._membership(node)
            case Binary() if node.op in ("&&", "||"):
                self._must_be_condition(node.left, node)
                self._must_be_condition(node.right, node)
                return _BOOL
            case Binary() if node.op in ("+", "-", "*", "/"):
                return self._arithmetic(node)
            case Binary():
                return self._comparison(node)

    def _name(self, node: Name) -> _Type:
        variables = self._vocabulary.variables
        variable = variables.get(node.name)
        if variable is None:
            close = closest(node.name, tuple(variables))
            if node.name in self._vocabulary.classes | self._vocabulary.zones:
                fix = f"put it in quotes: '{node.name}'"
            elif close:
                fix = f"did you mean {close}?"
            else:
                fix = f"known are {', '.join(variables)}"
            return self.error(f"{node.name!r} is not something that is measured", fix, node.column)
        if variable.kind is str:
            return _TEXT
        return _Type("number", (variable.mm, variable.px))

    def _unary(self, node: Unary) -> _Type:
        if node.op == "!":
            self._must_be_condition(node.operand, node)
            return _BOOL
        found = self.type_of(node.operand)
        if found.kind not in ("number", "any"):
            return self.error("'-' needs a number", "", node.column)
        return found

    def _method(self, node: Method) -> _Type:
        if self.type_of(node.operand).kind not in ("text", "any"):
            self.error(
                f"{node.operand.name} is a number, {node.method} needs a text", "", node.column
            )
        return _BOOL

    def _membership(self, node: Membership) -> _Type:
        found = self.type_of(node.operand)
        for option in node.options:
            wanted = "text" if isinstance(option, Text) else "number"
            if found.kind not in (wanted, "any"):
                fix = _quotes_fix(option)
                reason = f"a {found.kind} is never in a list of {wanted}s"
                self.error(reason, fix, option.column)
            elif isinstance(option, Text):
                self._known_text(node.operand, option)
        return _BOOL

    def _comparison(self, node: Binary) -> _Type:
        left, right = self.type_of(node.left), self.type_of(node.right)
        if "any" in (left.kind, right.kind):
            return _BOOL
        if left.kind != right.kind:
            fix = _quotes_fix(node.left, node.right)
            self.error(f"a {left.kind} is compared with a {right.kind}", fix, node.column)
        elif left.kind == "text":
            self._text_comparison(node)
        elif left.kind == "bool":
            self.error("conditions are compared with each other", "use && or ||", node.column)
        elif left.unit and right.unit and left.unit != right.unit:
            self.error(
                f"{_unit(left.unit)} is compared with {_unit(right.unit)}",
                "compare quantities of one unit",
                node.column,
            )
        else:
            self._share(node.left, node.right)
            self._share(node.right, node.left)
        return _BOOL

    def _text_comparison(self, node: Binary) -> None:
        if node.op not in ("==", "!="):
            self.error(f"texts have no order for {node.op!r}", "use == or !=", node.column)
        self._known_text(node.left, node.right)
        self._known_text(node.right, node.left)

    def _known_text(self, variable: Expression, text: Expression) -> None:
        if not isinstance(variable, Name) or not isinstance(text, Text):
            return
        options = self._vocabulary.options(variable.name)
        if options is None or text.value in options:
            return
        named = tuple(sorted(options - {""}))
        close = closest(text.value.lower(), named)
        fix = f"did you mean {close!r}?" if close else ""
        twins = (_other_letters(name, text.value) for name in named if _is_twin(name, text.value))
        fix = next(twins, fix)
        known = ", ".join(named[:12]) or "none (the policy names no such thing)"
        self.error(f"{variable.name} {text.value!r} is not among {known}", fix, text.column)

    def _share(self, variable: Expression, literal: Expression) -> None:
        if not isinstance(variable, Name) or variable.name not in SHARES:
            return
        if isinstance(literal, Number) and literal.value > 1.0:
            hint = f"write {literal.value / 100:g}" if literal.value <= 100 else ""
            self.error(f"{variable.name} lies between 0 and 1", hint, literal.column)

    def _arithmetic(self, node: Binary) -> _Type:
        left, right = self.type_of(node.left), self.type_of(node.right)
        if "any" in (left.kind, right.kind):
            return _ANY
        if left.kind != "number" or right.kind != "number":
            return self.error(f"{node.op!r} needs two numbers", "", node.column)
        if node.op == "/" and not (isinstance(node.right, Number) and node.right.value > 0):
            return self.error("only a number above 0 may divide", "multiply instead", node.column)
        if node.op in ("+", "-"):
            if left.unit and right.unit and left.unit != right.unit:
                return self.error(
                    f"{_unit(left.unit)} and {_unit(right.unit)} cannot be added", "", node.column
                )
            return left if left.unit else right
        if left.unit is None or right.unit is None:
            return left if left.unit else right
        return _Type("number", (left.unit[0] + right.unit[0], left.unit[1] + right.unit[1]))

    def _must_be_condition(self, node: Expression, parent: Unary | Binary) -> None:
        found = self.type_of(node)
        if found.kind not in ("bool", "any"):
            self.error(
                f"{parent.op!r} joins conditions, this is a {found.kind}",
                "compare it with something",
                node.column,
            )


@lru_cache(maxsize=1024)
def closest(word: str, known: tuple[str, ...], cutoff: float = 0.5) -> str:
    """The known word that ``word`` may have been meant as; '' when none is near."""
    return next(iter(get_close_matches(word, known, 1, cutoff)), "")


def _unit(unit: tuple[int, int]) -> str:
    return _UNIT_NAMES.get(unit, f"mm^{unit[0]} px^{unit[1]}")


def _is_twin(one: str, other: str) -> bool:
    """Whether two names look alike and are written in other letters."""
    return look_of(one) == look_of(other) and fold(one) != fold(other)


def _other_letters(one: str, other: str) -> str:
    odd = next(c for c in other + one if not c.isascii())
    return f"{one!r} is in other letters: one has U+{ord(odd):04X} {unicodedata.name(odd, '')}"


def _quotes_fix(*written: Expression) -> str:
    """What to do where a text meets a number: the literal is the one to be written otherwise."""
    for literal in written:
        if isinstance(literal, Number):
            return f"a name is a text: put quotes around it, such as '{literal.value:g}'"
        if isinstance(literal, Text):
            return "take the quotes away"
    return ""
