"""YAML as a tree that knows where everything stands; what a policy must not use is refused.

No tags, no anchors, no aliases, one document, bounded size and depth. Scalars follow the core
schema of YAML 1.2, so that ``no`` and ``on`` are text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from policies.errors import Problem

MAX_BYTES = 128 * 1024
"""Largest policy file."""
MAX_NODES = 12_000
"""Most keys and values in one file."""
MAX_DEPTH = 10
"""Deepest nesting; the language itself needs five levels."""
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


Path = tuple[int | str, ...]
"""The way to a value of the document: keys, and indices of lists."""
Data = str | int | float | bool | None | list["Data"] | dict[str, "Data"]
"""Plain data, as JSON knows it."""


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
    value: Any
    keys: dict[str, Place] = field(default_factory=dict)
    """Of a mapping: where each key stands."""
    raw: str = ""
    """Of a scalar: as it was written."""
    block: Place | None = None
    """Of a plain or quoted one-line scalar: where its first character stands."""

    def data(self) -> Any:
        """The plain data."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value

    def locate(self, path: Path, of_key: bool = False) -> tuple[Place, str]:
        """Place and text of a path; of the deepest part of it that is there."""
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
        child: Node = node.value[step]
        return child
    return None


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree and everything wrong with its form; no tree when it cannot be read at all."""
    problems = list(_tabs(text, file))
    if problems:
        return None, problems
    if _too_deep_flow(text):
        reason = "brackets are nested too deeply"
        return None, [Place(file, 1, 1).problem("E108", "", reason, "write blocks")]
    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
            if builder.stopped:
                break
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 0, 0)
        said = error.problem or error.context
    except (YAMLError, RecursionError) as error:
        place, said = Place(file, 1, 1), " ".join(str(error).split())[:120]
    else:
        return builder.root, builder.problems
    problem = place.problem("E103", "", f"this is not YAML: {said}", _HINT)
    return None, [*builder.problems, problem]


_HINT = "check quotes, brackets and the colon after each key on this line and the one above"


def _tabs(text: str, file: str) -> Iterator[Problem]:
    for number, line in enumerate(text.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            column = indent.index("\t") + 1
            reason = "the line is indented with a tab"
            yield Place(file, number, column).problem("E104", "", reason, "indent with blanks")


def _too_deep_flow(text: str) -> bool:
    """Cheap guard before the scanner, which keeps state per open bracket."""
    depth = 0
    for character in re.finditer(r"[][{}\n]", text):
        found = character.group()
        if found in "[{":
            depth += 1
        elif found in "]}":
            depth = max(depth - 1, 0)
        if depth > 4 * MAX_DEPTH:
            return True
    return False


class _Builder:
    """Turns parse events into the tree."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._stack: list[tuple[Node, str | None]] = []
        self._documents = 0
        self._nodes = 0
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.stopped = False

    def take(self, event: Any) -> None:
        """One more event of the file."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, "E102", f"more than {MAX_NODES} values", "split the product")
            self.stopped, self.root = True, None
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "E103", "a second document begins here", "one file, one policy")
                self.stopped = True
        elif isinstance(event, AliasEvent):
            self._refuse(event, "E107", "aliases (*name) are not allowed", _NO_ANCHORS)
            self._add(Node(self._place(event), None))
        elif isinstance(event, ScalarEvent):
            self._check_properties(event)
            self._scalar(event)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._check_properties(event)
            self._open(event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            node, _ = self._stack.pop()
            self._add(node)

    def _open(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, "E108", f"nested more than {MAX_DEPTH} levels deep", "flatten it")
            self.stopped = True
            self.root = None
        value: Any = {} if isinstance(event, MappingStartEvent) else []
        if self._stack and self._awaits_key():
            self._refuse(event, "E103", "a key must be plain text", "write the key as one word")
            self.stopped = True
        self._stack.append((Node(self._place(event), value), None))

    def _scalar(self, event: Any) -> None:
        place = self._place(event)
        if self._stack and self._awaits_key():
            parent, _ = self._stack[-1]
            key = str(event.value)
            if key in parent.keys:
                first = parent.keys[key].line
                reason = f"{key!r} is already given on line {first}"
                self._refuse(event, "E105", reason, "keep one of the two")
                key = f"\x00duplicate {len(parent.keys)}"
            parent.keys[key] = place
            self._stack[-1] = (parent, key)
            return
        plain = event.style is None and bool(event.implicit[0])
        value = _resolve(event.value) if plain else event.value
        one_line = event.start_mark.line == event.end_mark.line
        quoted = 1 if event.style in ("'", '"') else 0
        inner = Place(place.file, place.line, place.column + quoted) if one_line else None
        self._add(Node(place, value, raw=str(event.value), block=inner))

    def _add(self, node: Node) -> None:
        if not self._stack:
            if self.root is None and not self.stopped:
                self.root = node
            return
        parent, key = self._stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif key is not None:
            if key.startswith("\x00"):
                del parent.keys[key]
            else:
                parent.value[key] = node
            self._stack[-1] = (parent, None)

    def _awaits_key(self) -> bool:
        parent, key = self._stack[-1]
        return isinstance(parent.value, dict) and key is None

    def _check_properties(self, event: Any) -> None:
        if getattr(event, "anchor", None):
            self._refuse(event, "E107", f"anchors (&{event.anchor}) are not allowed", _NO_ANCHORS)
        if getattr(event, "tag", None):
            self._refuse(
                event, "E106", f"tags ({event.tag!s:.40}) are not allowed", "write the plain value"
            )

    def _refuse(self, event: Any, code: str, reason: str, fix: str) -> None:
        if len(self.problems) < 100:
            self.problems.append(self._place(event).problem(code, "", reason, fix))

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)


_NO_ANCHORS = "repeat the value, or put shared parts in a base file and name it with `extends`"


def _resolve(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 30 and _INT.fullmatch(text):
        return int(text)
    if len(text) <= 40 and _FLOAT.fullmatch(text):
        number = float(text)
        return number if isfinite(number) else text
    return text
