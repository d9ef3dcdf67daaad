"""What pydantic finds wrong, in the words of the policy language."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from policies.authoring.yaml_tree import Node
from policies.errors import Problem
from policies.model import PolicyDocument

Location = tuple[int | str, ...]
_PATTERNS = {
    "name": "lower case letters, digits, '_', '-' and '.', at most 64 characters",
    "product": "letters, digits, '_', '-' and '.', at most 64 characters",
    "id": "letters, digits, blanks and _ . ( ) + -, at most 64 characters",
    "start": "a time of day such as 22:00",
    "end": "a time of day such as 06:00",
    "currency": "three capital letters such as EUR",
    "code": "the code of a lint such as W201",
}
_TYPES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "tuple_type": "a list",
    "list_type": "a list",
    "enum": "one of the words",
}
_TOO_LONG = {"string_too_long", "too_long"}
_TOO_SHORT = {"string_too_short", "too_short"}


def problem_of(error: Mapping[str, Any], tree: Node) -> Problem:
    """One pydantic error as a problem with place, reason and fix."""
    location: Location = tuple(
        step for step in error["loc"] if step != "[key]" and not str(step).startswith("function-")
    )
    kind = str(error["type"])
    of_key = kind == "extra_forbidden" or "[key]" in error["loc"]
    target = location[:-1] if kind == "missing" else location
    place, at = tree.locate(target, of_key=of_key or kind == "missing")
    node = tree.at(location)
    given = node.data() if node is not None else None
    reason, fix = _words(kind, error, location, given)
    code = {"extra_forbidden": "E201", "missing": "E202"}.get(kind, "E203")
    return Problem(place.file, place.line, place.column, code, at, reason, fix)


def _words(kind: str, error: Mapping[str, Any], location: Location, given: Any) -> tuple[str, str]:
    name, context = str(location[-1]) if location else "policy", error.get("ctx") or {}
    if "[key]" in error["loc"]:
        return f"{name!r} cannot be a name here", f"allowed are {_PATTERNS['id']}"
    if kind == "extra_forbidden":
        return _unknown_key(name, location)
    if kind == "missing":
        inside = f" in {_path(location[:-1])}" if len(location) > 1 else ""
        return f"{name!r} is missing{inside}", f"add `{name}: ...`{_choices(location)}"
    if kind in ("enum", "literal_error"):
        return _not_among(name, context, given)
    if kind in _TYPES:
        return _wrong_type(name, _TYPES[kind], given)
    if kind == "string_pattern_mismatch":
        allowed = _PATTERNS.get(name, "printable characters without control characters")
        return f"{name} {_show(given)} is not allowed", f"allowed are {allowed}"
    if kind in _TOO_LONG:
        return f"{name} is longer than {context.get('max_length')}", "shorten it"
    if kind in _TOO_SHORT:
        return f"{name} needs at least {context.get('min_length')}", "add what is missing"
    bound = {
        "greater_than": ("more than", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("less than", "lt"),
        "less_than_equal": ("at most", "le"),
    }.get(kind)
    if bound:
        limit = context.get(bound[1])
        return f"{name} is {_show(given)} and must be {bound[0]} {limit:g}", _bound_fix(
            given, limit
        )
    return f"{name}: {error['msg']}", ""


def _bound_fix(given: Any, limit: Any) -> str:
    shares = isinstance(given, int | float) and limit == 1.0 and 1 < given <= 100
    return f"write {given / 100:g} for {given:g} %" if shares else ""


def _unknown_key(name: str, location: Location) -> tuple[str, str]:
    known = _keys_at(location[:-1])
    close = get_close_matches(name, known, 1, 0.55)
    where = f" in {_path(location[:-1])}" if len(location) > 1 else ""
    if close:
        return f"unknown key {name!r}{where}", f"did you mean {close[0]!r}?"
    return f"unknown key {name!r}{where}", f"known here: {', '.join(known)}"


def _not_among(name: str, context: Mapping[str, Any], given: Any) -> tuple[str, str]:
    expected = str(context.get("expected", "")).replace("<", "").replace(">", "")
    words = [w for w in expected.replace(" or ", ", ").replace("'", "").split(", ") if w]
    words = [w.split(": ")[-1] for w in words]
    close = get_close_matches(str(given).lower(), words, 1, 0.5)
    fix = f"did you mean {close[0]!r}?" if close else f"write {' or '.join(words)}"
    return f"{name} {_show(given)} is not among {', '.join(words)}", fix


def _wrong_type(name: str, wanted: str, given: Any) -> tuple[str, str]:
    if wanted == "text" and isinstance(given, bool | int | float):
        return f"{name} must be text, not the value {_show(given)}", f"write '{_show(given)}'"
    if wanted in ("a number", "a whole number") and isinstance(given, str):
        unit = given.strip().split(" ")[0].rstrip("msµ%").replace(",", ".")
        try:
            return f"{name} must be {wanted}, not the text {_show(given)}", f"write {float(unit):g}"
        except ValueError:
            return f"{name} must be {wanted}, not the text {_show(given)}", ""
    if wanted == "a list":
        return f"{name} must be a list, not {_show(given)}", f"write [{_show(given)}]"
    fix = "write mm_per_px: {default: 0.1}" if name == "mm_per_px" else ""
    return f"{name} must be {wanted}, not {_show(given)}", fix


def _show(given: Any) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, dict | list):
        return "a mapping" if isinstance(given, dict) else "a list"
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    return text if len(text) <= 48 else text[:45] + "...'"


def _path(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _keys_at(location: Location) -> list[str]:
    model = model_at(location)
    return list(model.model_fields) + (["extends"] if model is PolicyDocument else [])


def _choices(location: Location) -> str:
    field = model_at(location[:-1]).model_fields.get(str(location[-1]))
    words = (
        [str(getattr(w, "value", w)) for w in get_args(field.annotation) if isinstance(w, str)]
        if field is not None
        else []
    )
    return f" with one of {', '.join(words)}" if words else ""


def model_at(location: Location) -> type[BaseModel]:
    """The model that describes what stands at a path of the document."""
    model: type[BaseModel] = PolicyDocument
    for step in location:
        if isinstance(step, str) and step in model.model_fields:
            inner = _model_inside(model.model_fields[step].annotation)
            if inner is not None:
                model = inner
    return model


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_inside(part)
        if found is not None:
            return found
    return None
