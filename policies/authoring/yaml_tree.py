"""Reads YAML into a tree that knows where everything stands, and refuses what policies may not use.

No tags, no anchors, no aliases, one document, bounded size and depth. Scalars follow the core
schema of YAML 1.2, so that ``no`` and ``on`` are text.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import isfinite

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    StreamEndEvent,
)

from policies.errors import Problem

Scalar = str | int | float | bool | None
Data = Scalar | list["Data"] | dict[str, "Data"]
"""Plain data, as JSON knows it."""
MAX_BYTES = 128 * 1024
"""Largest policy file."""
MAX_NODES = 12_000
"""Most keys and values in one file."""
MAX_DEPTH = 10
"""Deepest nesting; the language itself needs five levels."""
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_COMMENT = re.compile(r"[ \t]+(#[^\s#!].{0,40})")
_HALF = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "true": True, "false": False}


Path = tuple[int | str, ...]
"""The way to a value of the document: keys, and indices of lists."""


@dataclass(frozen=True)
class Place:
    """Where something stands; line and column count from 1."""

    file: str
    line: int
    column: int

    def problem(self, code: str, at: str, reason: str, fix: str = "") -> Problem:
        """A problem that stands here; ``at`` is its path inside the document."""
        return Problem(self.file, self.line, self.column, code, at, reason, fix)


@dataclass
class Node:
    """One value. ``value`` is a scalar, a list of nodes, or a mapping of key to node."""

    place: Place
    value: Scalar | list["Node"] | dict[str, "Node"]
    keys: dict[str, Place] = field(default_factory=dict)
    """Where each key of a mapping stands."""
    raw: str = ""
    """A scalar as it was written."""
    block: Place | None = None
    """Where the first character of a scalar on one line stands, inside its quotes."""
    cut: str = ""
    """What follows an unquoted scalar after a blank: a ``#`` without a blank behind it."""

    def data(self) -> Data:
        """The plain data."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value

    def scalars(self, path: Path = ()) -> Iterator[tuple[Path, "Node"]]:
        """Every scalar below this node, with its path."""
        inner: Iterable[tuple[int | str, Node]] = ()
        if isinstance(self.value, dict):
            inner = self.value.items()
        elif isinstance(self.value, list):
            inner = enumerate(self.value)
        else:
            yield path, self
        for step, node in inner:
            yield from node.scalars((*path, step))

    def locate(self, path: Path, of_key: bool = False) -> tuple[Place, str]:
        """Place and text of a path, or of the deepest part of it that is there."""
        node, place = self, self.place
        walked = ""
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            walked += f"[{step}]" if isinstance(step, int) else f".{step}" if walked else str(step)
            place = node.keys[str(step)] if isinstance(node.value, dict) else child.place
            node = child
        return (place if of_key or node.value is None else node.place), walked

    def problem(
        self, code: str, path: Path, reason: str, fix: str = "", of_key: bool = False
    ) -> Problem:
        """A problem at a path below this node, placed at its value or at its key."""
        place, at = self.locate(path, of_key)
        return place.problem(code, at, reason, fix)

    def at(self, path: Path) -> "Node | None":
        """The node of a path, or None."""
        node: Node | None = self
        for step in path:
            node = _child(node, step) if node is not None else None
        return node


def _child(node: Node, step: int | str) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(str(step))
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree and everything wrong with its form; no tree when it cannot be read at all.

    >>> tree, problems = parse("product: tile", "tile.yaml")
    >>> tree.data(), tree.keys["product"], problems
    ({'product': 'tile'}, Place(file='tile.yaml', line=1, column=1), [])
    """
    problems = list(_tabs(text, file))
    if problems:
        return None, problems
    if are_brackets_too_deep(text):
        reason = "brackets are nested too deeply"
        return None, [Place(file, 1, 1).problem("E108", "", reason, "write blocks")]
    reader = _Reader(text, file)
    try:
        return reader.root(), reader.problems
    except _Unreadable:
        return None, reader.problems
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 0, 0)
        said = error.problem or error.context
        if said and "'\\t'" in said:
            reason = "a tab stands where YAML takes none"
            return None, [*reader.problems, place.problem("E104", "", reason, "write a blank")]
    except (YAMLError, RecursionError) as error:
        place, said = Place(file, 1, 1), " ".join(str(error).split())[:120]
    problem = place.problem("E103", "", f"this is not YAML: {said}", _HINT)
    return None, [*reader.problems, problem]


_HINT = "check quotes, brackets and the colon after each key on this line and the one above"


def _tabs(text: str, file: str) -> Iterator[Problem]:
    for number, line in enumerate(text.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            column = indent.index("\t") + 1
            reason = "the line is indented with a tab"
            yield Place(file, number, column).problem("E104", "", reason, "indent with blanks")


def are_brackets_too_deep(text: str) -> bool:
    """Whether brackets nest deeper than the scanner should see: it keeps state for each."""
    depth = 0
    for bracket in re.finditer(r"[][{}]", text):
        depth = depth + 1 if bracket.group() in "[{" else max(depth - 1, 0)
        if depth > 4 * MAX_DEPTH:
            return True
    return False


class _Unreadable(Exception):
    """The rest of the file is not looked at; the reader's problems say why."""


class _Reader:
    """Turns the scanner's events into the tree. It asks for no more events than are allowed."""

    def __init__(self, text: str, file: str) -> None:
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        self._text, self._file, self._read = text, file, 0
        self.problems: list[Problem] = []

    def root(self) -> Node | None:
        """The value of the one document; None for an empty file."""
        root, documents = None, 0
        while not isinstance(event := self._next(), StreamEndEvent):
            if isinstance(event, NodeEvent):
                root = self._value(event, 0)
            elif isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    reason = "a second document begins here"
                    self._refuse(event, "E103", reason, "one file, one policy")
                    break
        return root

    def _next(self) -> Event:
        event = next(self._events)
        self._read += 1
        if self._read > MAX_NODES:
            self._refuse(event, "E102", f"more than {MAX_NODES} values", "split the product")
            raise _Unreadable
        return event

    def _value(self, event: NodeEvent, depth: int) -> Node:
        place = self._place(event)
        self._check_properties(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, AliasEvent):
            return Node(place, None)
        if depth >= MAX_DEPTH:
            self._refuse(event, "E108", f"nested more than {MAX_DEPTH} levels deep", "flatten it")
            raise _Unreadable
        if isinstance(event, MappingStartEvent):
            return self._mapping(place, depth + 1)
        items = []
        while isinstance(inner := self._next(), NodeEvent):
            items.append(self._value(inner, depth + 1))
        return Node(place, items)

    def _mapping(self, place: Place, depth: int) -> Node:
        value: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while isinstance(event := self._next(), NodeEvent):
            self._check_properties(event)
            if isinstance(event, CollectionStartEvent):
                self._refuse(event, "E103", "a key must be plain text", "write the key as one word")
                raise _Unreadable
            key = self._said(event) if isinstance(event, ScalarEvent) else ""
            if twice := key in keys:
                reason = f"{key[:200]!r} is already given on line {keys[key].line}"
                self._refuse(event, "E105", reason, "keep one of the two")
            inner = self._next()
            assert isinstance(inner, NodeEvent)
            node = self._value(inner, depth)
            if not twice:
                value[key], keys[key] = node, self._place(event)
        return Node(place, value, keys)

    def _scalar(self, event: ScalarEvent, place: Place) -> Node:
        plain = event.style is None and bool(event.implicit[0])
        one_line = event.start_mark.line == event.end_mark.line
        quoted = 1 if event.style in ("'", '"') else 0
        inner = replace(place, column=place.column + quoted) if one_line else None
        text = self._said(event)
        cut = _COMMENT.match(self._text, event.end_mark.index) if plain and text else None
        value = _resolve(text) if plain else text
        return Node(place, value, raw=text, block=inner, cut=cut.group(1) if cut else "")

    def _said(self, event: ScalarEvent) -> str:
        """What a scalar says: ``\\ud83d\\ude00``, as JSON writes it, is one character; half of it
        is none."""
        text = str(event.value)
        if not _HALF.search(text):
            return text
        pairs = text.encode("utf-16-le", "surrogatepass")
        try:
            return pairs.decode("utf-16-le")
        except UnicodeDecodeError:
            reason = "\\u with half a character (a lone surrogate)"
            self._refuse(event, "E103", reason, "write the character itself")
            return pairs.decode("utf-16-le", "replace")

    def _check_properties(self, event: NodeEvent) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(event, "E107", "aliases (*name) are not allowed", _NO_ANCHORS)
        elif event.anchor:
            self._refuse(event, "E107", f"anchors (&{event.anchor}) are not allowed", _NO_ANCHORS)
        if tag := getattr(event, "tag", None):
            self._refuse(
                event, "E106", f"tags ({tag!s:.40}) are not allowed", "write the plain value"
            )

    def _refuse(self, event: Event, code: str, reason: str, fix: str) -> None:
        if len(self.problems) < 100:
            self.problems.append(self._place(event).problem(code, "", reason, fix))

    def _place(self, event: Event) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)


_NO_ANCHORS = "repeat the value, or put shared parts in a base file and name it with `extends`"


def _resolve(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 30 and _INT.fullmatch(text):
        return int(text)
    if len(text) <= 40 and _FLOAT.fullmatch(text):
        number = float(text)
        return number if isfinite(number) else text
    return text
