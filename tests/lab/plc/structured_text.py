"""Runs the exported function block: an interpreter of the part of IEC 61131-3 that it uses.

Declarations, assignments, IF, FOR, calls of TON, and expressions; anything else is refused, so that
the block stays within what every make of controllers understands.
"""

import operator
import re
from collections.abc import Callable
from typing import Final

from streams.errors import AndonError


class StructuredTextError(AndonError):
    """The text is not in the part of the language that is understood here."""


class Ton:
    """The standard's timer with an on-delay; times in milliseconds."""

    def __init__(self) -> None:
        self.output = False
        self._since: int | None = None

    def call(self, on: bool, preset_ms: int, now_ms: int) -> None:
        """One cycle: the output follows when the input was on for the preset time."""
        if not on:
            self._since, self.output = None, False
            return
        self._since = now_ms if self._since is None else self._since
        self.output = now_ms - self._since >= preset_ms


Value = bool | int | float | str
Record = dict[str, Value]
Cell = Value | Ton | Record | list[Value] | list[Ton]
Run = Callable[[], None]
Get = Callable[[], Value]
_TOKEN: Final = re.compile(
    r"(?P<space>\s+|//[^\n]*|\(\*.*?\*\))|(?P<time>T#[0-9]+M?S)|(?P<number>[0-9]+(?!\.[0-9]))"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>\.\.|:=|<>|<=|>=|[-+*<>=().,;:\[\]])",
    re.DOTALL,
)
_UNSIGNED: Final = {"UDINT": 0xFFFFFFFF, "UINT": 0xFFFF}
_SIGNED: Final = {"DINT": 1 << 31, "INT": 1 << 15}
_BINARY: Final[tuple[dict[str, Callable[[Value, Value], Value]], ...]] = (
    {"OR": lambda a, b: bool(a) or bool(b)},
    {"AND": lambda a, b: bool(a) and bool(b)},
    {"=": operator.eq, "<>": operator.ne, "<": operator.lt, ">": operator.gt},
    {"+": operator.add, "-": operator.sub},
)
"""Operators from the loosest to the tightest."""


class FunctionBlock:
    """An instance of the block: its variables by name, and its structure as ``variables["Io"]``.

    Args:
        text: the structure's TYPE and one FUNCTION_BLOCK.

    Raises:
        StructuredTextError: with what stands where it is not understood.
    """

    def __init__(self, text: str) -> None:
        self.variables: dict[str, Cell] = {}
        self._types: dict[str, str] = {}
        self._structures: dict[str, dict[str, str]] = {}
        self._now_ms = 0
        self._tokens = _tokens(text)
        self._at = 0
        self._read_type()
        self._expect("FUNCTION_BLOCK")
        self._next()
        while self._peek().startswith("VAR"):
            self._read_variables()
        self._body = self._statements("END_FUNCTION_BLOCK")
        self._next()
        self._expect("")

    def cycle(self, now_ms: int) -> None:
        """One cycle of the controller at this time."""
        self._now_ms = now_ms
        self._body()

    # --- declarations ---------------------------------------------------------------------

    def _read_type(self) -> None:
        self._expect("TYPE")
        name = self._next()
        self._expect(":")
        self._expect("STRUCT")
        fields: dict[str, str] = {}
        while self._peek() != "END_STRUCT":
            field = self._next()
            self._expect(":")
            fields[field] = self._type_name()
            self._expect(";")
        self._next()
        self._expect("END_TYPE")
        self._structures[name] = fields

    def _type_name(self) -> str:
        name = self._next()
        if name == "STRING":
            self._expect("(")
            self._next()
            self._expect(")")
        return name

    def _read_variables(self) -> None:
        self._next()
        while self._peek() != "END_VAR":
            name = self._next()
            self._expect(":")
            count = self._array()
            kind = self._type_name()
            self._types[name] = kind
            cell: Cell = self._fresh(kind)
            if count:
                cell = [self._fresh(kind) for _ in range(count)]  # type: ignore[assignment]
            if self._peek() == ":=":
                self._next()
                cell = _literal(self._next())
            self.variables[name] = cell
            self._expect(";")
        self._next()

    def _array(self) -> int:
        if self._peek() != "ARRAY":
            return 0
        for sign in ("ARRAY", "[", "0", ".."):
            self._expect(sign)
        last = int(self._next())
        for sign in ("]", "OF"):
            self._expect(sign)
        return last + 1

    def _fresh(self, kind: str) -> Value | Ton | Record:
        if kind in self._structures:
            return {name: _zero(k) for name, k in self._structures[kind].items()}
        return Ton() if kind == "TON" else _zero(kind)

    # --- statements -----------------------------------------------------------------------

    def _statements(self, *ends: str) -> Run:
        runs: list[Run] = []
        while self._peek() not in ends:
            runs.append(self._statement())

        def run() -> None:
            for one in runs:
                one()

        return run

    def _statement(self) -> Run:
        match self._peek():
            case "IF":
                return self._if()
            case "FOR":
                return self._for()
        name, index, field = self._place()
        if self._peek() == "(":
            return self._call(name, index)
        self._expect(":=")
        value = self._expression()
        self._expect(";")
        cell = self.variables[name]
        if isinstance(cell, dict):
            kind = self._structures[self._types[name]][field]
            return lambda: cell.__setitem__(field, _wrapped(kind, value()))
        kind = self._types[name]
        if isinstance(cell, list) and index is not None:
            whole: list[Value] = cell  # type: ignore[assignment]
            return lambda: whole.__setitem__(int(index()), _wrapped(kind, value()))
        return lambda: self.variables.__setitem__(name, _wrapped(kind, value()))

    def _if(self) -> Run:
        arms: list[tuple[Get, Run]] = []
        while self._next() in ("IF", "ELSIF"):
            condition = self._expression()
            self._expect("THEN")
            arms.append((condition, self._statements("ELSIF", "ELSE", "END_IF")))
            if self._peek() == "ELSE":
                self._next()
                arms.append((lambda: True, self._statements("END_IF")))
        self._expect(";")

        def run() -> None:
            for condition, body in arms:
                if condition():
                    return body()
            return None

        return run

    def _for(self) -> Run:
        self._next()
        name = self._next()
        self._expect(":=")
        first = self._expression()
        self._expect("TO")
        last = self._expression()
        self._expect("DO")
        body = self._statements("END_FOR")
        self._next()
        self._expect(";")

        def run() -> None:
            for number in range(int(first()), int(last()) + 1):
                self.variables[name] = number
                body()

        return run

    def _call(self, name: str, index: Get | None) -> Run:
        given: dict[str, Get] = {}
        for sign in ("(", ","):
            self._expect(sign)
            parameter = self._next()
            self._expect(":=")
            given[parameter] = self._expression()
        self._expect(")")
        self._expect(";")

        def run() -> None:
            timer = self._value(name, index)
            assert isinstance(timer, Ton)
            timer.call(bool(given["IN"]()), int(given["PT"]()), self._now_ms)

        return run

    # --- expressions ----------------------------------------------------------------------

    def _expression(self, level: int = 0) -> Get:
        if level == len(_BINARY):
            return self._factor()
        left = self._expression(level + 1)
        while self._peek() in _BINARY[level]:
            left = _joined(_BINARY[level][self._next()], left, self._expression(level + 1))
        return left

    def _factor(self) -> Get:
        word = self._peek()
        if word in ("NOT", "-"):
            self._next()
            inner = self._factor()
            return (lambda: not inner()) if word == "NOT" else (lambda: -int(inner()))
        if word == "(" or word.endswith("_TO_TIME"):
            self._next()
            if word != "(":
                self._expect("(")
            inner = self._expression()
            self._expect(")")
            return inner
        if word in ("TRUE", "FALSE") or not word[0].isalpha() or word.startswith("T#"):
            value = _literal(self._next())
            return lambda: value
        name, index, field = self._place()

        def get() -> Value:
            found = self._value(name, index)
            if isinstance(found, Ton):
                return found.output
            return found[field] if isinstance(found, dict) else found

        return get

    def _place(self) -> tuple[str, Get | None, str]:
        """A variable, the index of its element, and the field of its record."""
        name, index, field = self._next(), None, ""
        if name not in self.variables:
            raise StructuredTextError(f"{name!r} is not declared")
        if self._peek() == "[":
            self._next()
            index = self._expression()
            self._expect("]")
        if self._peek() == ".":
            self._next()
            field = self._next()
            cell = self.variables[name]
            if isinstance(cell, dict) and field not in cell:
                raise StructuredTextError(f"{name} has no member {field!r}")
        return name, index, field

    def _value(self, name: str, index: Get | None) -> Value | Ton | Record:
        cell = self.variables[name]
        if isinstance(cell, list):
            return cell[int(index())] if index else 0
        return cell

    # --- tokens ---------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            self._at -= 1
            self._refuse(token)

    def _refuse(self, wanted: str) -> None:
        near = " ".join(self._tokens[max(self._at - 8, 0) : self._at + 4])
        raise StructuredTextError(f"{wanted!r} is expected at {self._peek()!r} in: {near}")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise StructuredTextError(f"{text[at : at + 20]!r} is not understood")
        if match.lastgroup != "space":
            found.append(match[0])
        at = match.end()
    return found


def _joined(function: Callable[[Value, Value], Value], left: Get, right: Get) -> Get:
    return lambda: function(left(), right())


def _zero(kind: str) -> Value:
    zeros: dict[str, Value] = {"BOOL": False, "STRING": "", "REAL": 0.0}
    return zeros.get(kind, 0)


def _literal(word: str) -> Value:
    if word in ("TRUE", "FALSE"):
        return word == "TRUE"
    if word.startswith("T#"):
        scale = 1 if word.endswith("MS") else 1000
        return int(word.strip("T#MS")) * scale
    return int(word)


def _wrapped(kind: str, value: Value) -> Value:
    """The value as a variable of this type holds it; unsigned numbers wrap."""
    if kind in _UNSIGNED:
        return int(value) & _UNSIGNED[kind]
    if kind in _SIGNED and not -_SIGNED[kind] <= int(value) < _SIGNED[kind]:
        raise StructuredTextError(f"{value} is out of the range of {kind}")
    return value
