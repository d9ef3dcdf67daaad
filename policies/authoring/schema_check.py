"""Checks that a file has the form of a policy, and says what pydantic finds wrong in plain words.

Wrong and missing values are replaced by stand-ins, so that what else is wrong shows as well.
"""

import json
import re
from math import isfinite
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from policies.authoring.yaml_tree import Data, Node, Path
from policies.conditions.checker import closest
from policies.errors import Problem
from policies.model import PolicyDocument
from streams.names import fault_of

_PATTERNS = {
    "name": "lower case letters, digits, '_', '-' and '.', at most 64 characters",
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


_ROUNDS = 4
_STAND_INS: dict[str, Data] = {
    "policy": 1,
    "product": "mended",
    "severity": "defect",
    "action": "hold",
    "when": "true",
    "mm_per_px": {"default": 1.0},
    "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
    "start": "00:00",
    "end": "12:00",
    "more_than": 0,
    "in_parts": 2,
    "code": "W000",
    "reason": "mended",
    "timezone": "UTC",
}
"""What stands in for a value that is missing or wrong, so that the rest can be looked at."""


def document_of(tree: Node) -> tuple[PolicyDocument | None, list[Problem]]:
    """The document, mended where it is wrong, and what is wrong with its form.

    The document is only fit to be used when there are no problems.
    """
    data = tree.data()
    problems: list[Problem] = []
    for attempt in range(_ROUNDS):
        try:
            return PolicyDocument.model_validate_json(json.dumps(data), strict=True), problems
        except ValidationError as error:
            found = error.errors(include_url=False)
        if attempt == 0:
            problems = [problem_of(e, tree) for e in found]
        for number, fault in enumerate(found):
            _mend(data, fault["loc"], f"mended{attempt}.{number}")
    return None, problems


def _mend(data: Data, location: Path, unique: str) -> None:
    for depth, step in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(data, list):
            if last or not isinstance(step, int) or step >= len(data):
                data.clear()
                return
            data = data[step]
        elif isinstance(data, dict):
            if step in _STAND_INS and (last or step in ("polygon", "mm_per_px")):
                data[step] = _STAND_INS[str(step)]
                return
            if last or "[key]" in location[depth + 1 :] or step not in data:
                _replace(data, str(step), unique)
                return
            data = data[step]
        else:
            return


def _replace(data: dict[str, Data], key: str, unique: str) -> None:
    data.pop(key, None)
    if key == "name":
        data[key] = unique


def problem_of(error: ErrorDetails, tree: Node) -> Problem:
    """One pydantic error as a problem with place, reason and fix."""
    location: Path = tuple(
        step for step in error["loc"] if step != "[key]" and not str(step).startswith("function-")
    )
    kind = error["type"]
    of_key = kind == "extra_forbidden" or "[key]" in error["loc"]
    target = location[:-1] if kind == "missing" else location
    reason, fix = _comma(tree, location) or _words(kind, error, location, tree.at(location))
    code = {"extra_forbidden": "E201", "missing": "E202"}.get(kind, "E203")
    return tree.problem(code, target, reason, fix, of_key=of_key or kind == "missing")


def _comma(tree: Node, location: Path) -> tuple[str, str] | None:
    """Of a decimal comma between brackets, which YAML reads as the end of the number."""
    above, key = tree.at(location[:-1]), str(location[-1]) if location else ""
    if above is None or not isinstance(above.value, dict) or not re.fullmatch("[0-9]+", key):
        return None
    keys = list(above.value)
    place = keys.index(key) if key in keys else 0
    name, before, here = keys[place - 1], above.value[keys[place - 1]], above.value[keys[place]]
    if not place or not isinstance(before.value, int) or here.value is not None or here.raw:
        return None
    return f"{name} is {before.raw},{key}, with a comma", f"write {before.raw}.{key}"


def _words(kind: str, error: ErrorDetails, location: Path, node: Node | None) -> tuple[str, str]:
    name, context = str(location[-1]) if location else "policy", error.get("ctx") or {}
    given = node.data() if node is not None else None
    if "[key]" in error["loc"]:
        return _no_name(location)
    if kind == "extra_forbidden":
        return _unknown_key(name, location)
    if kind == "missing":
        inside = f" in {_path(location[:-1])}" if len(location) > 1 else ""
        return f"{_show(name)} is missing{inside}", f"add `{name}: ...`{_choices(location)}"
    if kind in ("enum", "literal_error"):
        return _not_among(name, str(context.get("expected", "")), given)
    if kind in _TYPES:
        return _wrong_type(name, _TYPES[kind], given, node.raw if node is not None else "")
    if kind == "string_pattern_mismatch":
        if name == "product":
            return f"product {_show(given)} {_fault(str(given))}", ""
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
        reason = f"{name} is {_show(given)} and must be {bound[0]} {limit:g}"
        if isinstance(given, int | float) and limit == 1.0 and 1 < given <= 100:
            return reason, f"write {given / 100:g} for {given:g} %"
        return reason, ""
    return f"{name}: {error['msg']}", ""


def _no_name(location: Path) -> tuple[str, str]:
    key = str(location[-1])
    if "classes" in location[:-1]:
        return f"class {_show(key)} {_fault(key)}", ""
    allowed = _PATTERNS["name"] if location[0] in ("shifts", "limits") else "printable characters"
    return f"{_show(key)} cannot be a name here", f"allowed are {allowed}"


def _fault(name: str) -> str:
    return fault_of(name) or "is no name"


def _unknown_key(name: str, location: Path) -> tuple[str, str]:
    known = _keys_at(location[:-1])
    close = closest(name, known, 0.55)
    where = f" in {_path(location[:-1])}" if len(location) > 1 else ""
    fix = f"did you mean {close!r}?" if close else f"known here: {', '.join(known)}"
    return f"unknown key {_show(name)}{where}", fix


def _not_among(name: str, expected: str, given: Data) -> tuple[str, str]:
    plain = expected.replace("<", "").replace(">", "").replace(" or ", ", ").replace("'", "")
    words = tuple(word.split(": ")[-1] for word in plain.split(", ") if word)
    close = closest(str(given).lower(), words)
    if isinstance(given, str) and given in words:
        return f"{name} {_show(given)} is text", f"write {given} without quotes"
    fix = f"did you mean {close!r}?" if close else f"write {' or '.join(words)}"
    return f"{name} {_show(given)} is not among {', '.join(words)}", fix


def _wrong_type(name: str, wanted: str, given: Data, raw: str) -> tuple[str, str]:
    if wanted == "text" and isinstance(given, bool | int | float):
        return f"{name} must be text, not the value {raw}", f"write '{raw}'"
    if wanted == "text" and given is None and raw:
        return f"{name} must be text, and {raw} is YAML for nothing", f"write '{raw}'"
    if wanted in ("a number", "a whole number") and isinstance(given, str):
        return f"{name} must be {wanted}, not the text {_show(given)}", _number_in(given)
    if wanted == "a list" and (given is None or isinstance(given, dict)):
        return f"{name} must be a list, not {_show(given)}", "begin each entry with `- `"
    if wanted == "a list":
        return f"{name} must be a list, not {_show(given)}", f"write [{_show(given)}]"
    fix = "write mm_per_px: {default: 0.1}" if name == "mm_per_px" else ""
    return f"{name} must be {wanted}, not {_show(given)}", fix


def _number_in(text: str) -> str:
    """The fix where a text holds a number with a unit, a percent sign or a decimal comma."""
    unit = text.strip().split(" ")[0].rstrip("msµ%").replace(",", ".")
    try:
        number = float(unit) / (100 if text.rstrip().endswith("%") else 1)
    except ValueError:
        return ""
    return f"write {number:g}" if isfinite(number) else ""


def _show(given: Data) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, dict | list):
        return "a mapping" if isinstance(given, dict) else "a list"
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    return text if len(text) <= 48 else text[:45] + "...'"


def _path(location: Path) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text if len(text) <= 200 else text[:197] + "..."


def _keys_at(location: Path) -> tuple[str, ...]:
    model = _model_at(location)
    return (*model.model_fields, *(("extends",) if model is PolicyDocument else ()))


def _choices(location: Path) -> str:
    field = _model_at(location[:-1]).model_fields.get(str(location[-1]))
    words = (
        [str(getattr(w, "value", w)) for w in get_args(field.annotation) if isinstance(w, str)]
        if field is not None
        else []
    )
    return f" with one of {', '.join(words)}" if words else ""


def _model_at(location: Path) -> type[BaseModel]:
    model: type[BaseModel] = PolicyDocument
    for step in location:
        if isinstance(step, str) and step in model.model_fields:
            model = _model_inside(model.model_fields[step].annotation) or model
    return model


def _model_inside(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_model_inside(part) for part in get_args(annotation))
    return next((model for model in inside if model is not None), None)
