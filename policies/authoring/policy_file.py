"""Reads a policy file into one tree, within bounds, with its base file merged in."""

import unicodedata
from dataclasses import replace
from pathlib import Path

from policies.authoring.yaml_tree import MAX_BYTES, Node, Place, parse
from policies.errors import PolicyError, Problem


def read_tree(path: Path) -> tuple[Node | None, list[Problem]]:
    """The file's tree with its base merged in, and what is wrong with the form of both.

    Raises:
        PolicyError: the file is not there or cannot be opened.
    """
    tree, problems = _mapping(str(path), *_read(path))
    if tree is None or not isinstance(tree.value, dict):
        return None, problems
    extends = tree.value.pop("extends", None)
    if extends is None:
        return tree, problems
    base, found = _base(path, extends)
    problems += found
    if base is None:
        return (None if found else tree), problems
    return _merge(base, tree), problems


def read_text(text: str, name: str) -> tuple[Node | None, list[Problem]]:
    """The tree of a text that is in no file, and what is wrong with its form."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None, [_too_large(name)]
    plain = "".join(" " if "\ud800" <= c <= "\udfff" else c for c in text)
    tree, problems = _mapping(name, *parse(unicodedata.normalize("NFC", plain), name))
    if tree is None or not isinstance(tree.value, dict) or "extends" not in tree.value:
        return tree, problems
    place = tree.keys.pop("extends")
    del tree.value["extends"]
    reason = "this text has no folder, so there is no base that it could extend"
    fix = "write what the base says here"
    return tree, [*problems, place.problem("E109", "extends", reason, fix)]


def _mapping(
    name: str, tree: Node | None, problems: list[Problem]
) -> tuple[Node | None, list[Problem]]:
    """The tree if it is one of a policy, and what is wrong otherwise."""
    if tree is not None and isinstance(tree.value, dict):
        return tree, problems
    if not problems:
        reason = "the file is empty" if tree is None else "a policy is a mapping of keys"
        fix = "begin with `policy: 1` and `product: ...`"
        problems = [Place(name, 1, 1).problem("E103", "", reason, fix)]
    return None, problems


def _too_large(name: str) -> Problem:
    reason = f"the file is larger than {MAX_BYTES // 1024} KiB"
    fix = "shorten the descriptions, or split the product"
    return Place(name, 1, 1).problem("E102", "", reason, fix)


def _base(path: Path, extends: Node) -> tuple[Node | None, list[Problem]]:
    def refuse(reason: str, fix: str) -> tuple[None, list[Problem]]:
        return None, [extends.place.problem("E109", "extends", reason, fix)]

    name = extends.value
    if not isinstance(name, str) or not name or Path(name).name != name:
        return refuse("extends names one file of the same folder", "extends: _base.yaml")
    if name == path.name:
        return refuse("the file extends itself", "name another file, or take the line away")
    try:
        base, problems = _read(path.parent / name)
    except PolicyError:
        near = sorted(p.name for p in path.parent.glob("_*.yaml"))
        fix = f"bases here: {', '.join(near)}" if near else "there is no base file in this folder"
        return refuse(f"the base file {name!r} cannot be read", fix)
    if base is None or not isinstance(base.value, dict):
        return None, problems or refuse(f"the base file {name!r} is no mapping", "")[1]
    if "extends" in base.value:
        reason = f"{name} is a base and extends again; bases go one level deep, and not in circles"
        fix = "move what is shared into one base"
        return None, [base.keys["extends"].problem("E109", "extends", reason, fix)]
    return base, problems


def _read(path: Path) -> tuple[Node | None, list[Problem]]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        return None, [_too_large(str(path))]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        reason, fix = "the file is not UTF-8 text", "save it as UTF-8 in the editor"
        return None, [Place(str(path), line, column).problem("E101", "", reason, fix)]
    return parse(unicodedata.normalize("NFC", text), str(path))


def _merge(base: Node, over: Node) -> Node:
    """The tree ``over`` laid on ``base``.

    Mappings merge key by key, a list or a value replaces, and null takes a key away.
    """
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    value: dict[str, Node] = dict(base.value)
    keys: dict[str, Place] = dict(base.keys)
    for key, node in over.value.items():
        if node.value is None:
            value.pop(key, None)
            keys.pop(key, None)
        else:
            value[key] = _merge(value[key], node) if key in value else node
            keys[key] = over.keys[key]
    return replace(over, value=value, keys=keys)
