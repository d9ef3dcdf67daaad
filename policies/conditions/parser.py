"""Parses a condition's text into a tree, and so decides what may reach CEL's own library."""

import re
from collections.abc import Callable
from dataclasses import dataclass

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
from policies.errors import ConditionError

MAX_NODES = 200
"""Most operators, names and values in one condition: the bound on its cost."""
MAX_DEPTH = 20
"""Deepest nesting of parentheses and negations."""
MAX_TEXT = 200
"""Most characters of a quoted text, as of a class's name."""
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
METHODS = ("startsWith", "endsWith", "contains")
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)
    |(?P<text>'(?:[^'\\\n]|\\['"\\])*'|"(?:[^"\\\n]|\\['"\\])*")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>&&|\|\||==|!=|<=|>=|[<>!()\[\],.+*/-])
    |(?P<bad>\S))""",
    re.VERBOSE,
)
_WORDS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!"}
_BAD = {
    "'": ("a quoted text does not end", "close it with '"),
    '"': ("a quoted text does not end", 'close it with "'),
    "?": ("'? :' is not allowed", "write two rules"),
    "%": ("'%' is no unit and no operator here", "write a share: 0.05 for 5 %"),
}
_BAD |= dict.fromkeys("‘’‚“”„«»", ("a typographic quote", "write ' before and after the text"))
_SIGNS = {"=": "==", "≥": ">=", "≤": "<=", "≠": "!=", "&": "&&", "|": "||"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


def parse(source: str) -> Expression:
    """The tree of a condition.

    >>> parse("count > 3")
    Binary(op='>', left=Name(name='count', column=1), right=Number(value=3.0, column=9), column=7)

    Raises:
        ConditionError: it is not in the allowed part of CEL; column and fix say where and how.
    """
    return _Parser(_tokens(source)).whole()


def _tokens(source: str) -> list[_Token]:
    found: list[_Token] = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind is None:
            continue
        token = _Token(kind, match.group(kind), match.start(kind) + 1)
        if kind == "bad":
            raise _bad_character(token)
        found.append(token)
    if len(found) > 3 * MAX_NODES:
        raise ConditionError("the condition is too long", "split it into several rules", 1)
    return [*found, _Token("end", "", len(source) + 1)]


def _no_operator(token: _Token, meant: str) -> ConditionError:
    return ConditionError(f"{token.text!r} is no operator", f"write {meant!r}", token.column)


def _bad_character(token: _Token) -> ConditionError:
    if token.text in _SIGNS:
        return _no_operator(token, _SIGNS[token.text])
    reason, fix = _BAD.get(token.text, (f"{token.text!r} is not allowed in a condition", ""))
    return ConditionError(reason, fix, token.column)


class _Parser:
    """Parses by recursive descent, with bounds on depth and size."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0
        self._nodes = 0

    def whole(self) -> Expression:
        node = self._or()
        token = self._peek
        if token.kind != "end":
            raise self._leftover(token)
        return node

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._position]

    def _next(self) -> _Token:
        token = self._peek
        self._position += 1
        return token

    def _takes(self, *operators: str) -> _Token | None:
        token = self._peek
        if token.kind == "op" and token.text in operators:
            return self._next()
        return None

    def _count(self, column: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConditionError(
                f"the condition has more than {MAX_NODES} parts", "split it into rules", column
            )

    def _joined(self, part: Callable[[], Expression], *operators: str) -> Expression:
        """Parts with operators of one rank between them, which bind from the left."""
        node = part()
        while token := self._takes(*operators):
            self._count(token.column)
            node = Binary(token.text, node, part(), token.column)
        return node

    def _or(self) -> Expression:
        return self._joined(self._and, "||")

    def _and(self) -> Expression:
        return self._joined(self._relation, "&&")

    def _relation(self) -> Expression:
        node = self._sum()
        token = self._takes(*COMPARISONS)
        if token is not None:
            self._count(token.column)
            node = Binary(token.text, node, self._sum(), token.column)
        elif self._peek.kind == "name" and self._peek.text == "in":
            column = self._next().column
            self._count(column)
            node = Membership(node, self._list(), column)
        again = self._takes(*COMPARISONS)
        if again is not None:
            raise ConditionError(
                "comparisons cannot be chained", "join two comparisons with &&", again.column
            )
        return node

    def _sum(self) -> Expression:
        return self._joined(self._product, "+", "-")

    def _product(self) -> Expression:
        return self._joined(self._unary, "*", "/")

    def _unary(self) -> Expression:
        token = self._takes("!", "-")
        if token is None:
            return self._postfix()
        self._deeper(token.column)
        node = Unary(token.text, self._unary(), token.column)
        self._depth -= 1
        return node

    def _postfix(self) -> Expression:
        node = self._primary()
        dot = self._takes(".")
        if dot is None:
            return node
        method = self._next()
        if method.text not in METHODS or not isinstance(node, Name):
            raise ConditionError(
                f"'.{method.text}' is not allowed", f"allowed are {', '.join(METHODS)}", dot.column
            )
        self._expect("(", method)
        argument = self._next()
        if argument.kind != "text":
            raise ConditionError(
                f"{method.text} takes one quoted text", f"{method.text}('A')", argument.column
            )
        self._count(dot.column)
        self._expect(")", argument)
        return Method(node, method.text, _text(argument), dot.column)

    def _primary(self) -> Expression:
        token = self._next()
        self._count(token.column)
        if token.kind == "number":
            return _number(token)
        if token.kind == "text":
            return _text(token)
        if token.kind == "name":
            return self._name(token)
        if token.text == "(":
            self._deeper(token.column)
            node = self._or()
            self._expect(")", token)
            self._depth -= 1
            return node
        if token.text == "[":
            raise ConditionError(
                "a list stands only after `in`", "zone in ['a', 'b']", token.column
            )
        what = f"{token.text!r}" if token.text else "the end"
        raise ConditionError(f"a value is missing before {what}", "", token.column)

    def _name(self, token: _Token) -> Expression:
        if token.text in ("true", "false"):
            return Truth(token.text == "true", token.column)
        if token.text in _WORDS:
            raise _no_operator(token, _WORDS[token.text])
        if self._peek.text == "(":
            raise ConditionError(
                f"the function {token.text!r} is not allowed",
                f"allowed are the methods {', '.join(METHODS)} of a text",
                token.column,
            )
        return Name(token.text, token.column)

    def _list(self) -> tuple[Text | Number, ...]:
        opening = self._next()
        if opening.text != "[":
            raise ConditionError(
                "`in` takes a list", "write in ['a', 'b'], or == for one value", opening.column
            )
        options: list[Text | Number] = []
        while self._peek.text != "]":
            options.append(self._option())
            if self._takes(",") is None and self._peek.text != "]":
                raise ConditionError("a comma is missing in the list", "", self._peek.column)
        self._next()
        if not options:
            raise ConditionError("the list is empty", "name at least one value", opening.column)
        return tuple(options)

    def _option(self) -> Text | Number:
        token = self._next()
        self._count(token.column)
        if token.kind == "text":
            return _text(token)
        if token.kind == "number":
            return _number(token)
        raise ConditionError("a list holds quoted texts or numbers only", "", token.column)

    def _expect(self, text: str, after: _Token) -> None:
        token = self._next()
        if token.text != text or token.kind != "op":
            raise ConditionError(f"{text!r} is missing", f"add {text!r}", max(token.column, 1))

    def _deeper(self, column: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConditionError(
                f"nested more than {MAX_DEPTH} deep", "take parentheses away", column
            )

    def _leftover(self, token: _Token) -> ConditionError:
        before = self._tokens[self._position - 1] if self._position else token
        if token.text in _WORDS:
            return _no_operator(token, _WORDS[token.text])
        if before.kind == "number" and token.kind == "name":
            return ConditionError(
                f"{token.text!r} follows a number",
                "write the number without its unit",
                token.column,
            )
        if before.kind == "number" and token.text == ",":
            return ConditionError("a comma in a number", "write a decimal point", token.column)
        fix = "write ==" if token.text == "is" else "join conditions with && or ||"
        return ConditionError(f"{token.text!r} is not expected here", fix, token.column)


def _number(token: _Token) -> Number:
    value = float(token.text)
    if value > 1e12:
        raise ConditionError(f"{token.text} is too large", "", token.column)
    return Number(value, token.column)


def _text(token: _Token) -> Text:
    value = re.sub(r"\\(['\"\\])", r"\1", token.text[1:-1])
    if len(value) > MAX_TEXT or not value.isprintable():
        raise ConditionError(
            f"a quoted text is longer than {MAX_TEXT} characters or has control characters",
            "",
            token.column,
        )
    return Text(value, token.column)
