"""Writes ``docs/settings.md``: every setting, its environment name, unit, default and range."""

import inspect
import json
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from andon.reference.text import GENERATED, docstrings_below, table
from andon.settings import Settings
from andon.settings_names import OTHERS, model_in, variable_of
from andon.settings_secrets import files_of

_UNITS: Final = {
    "_ms": "ms",
    "_kib_s": "KiB/s",
    "_s": "s",
    "_px": "px",
    "_mib": "MiB",
    "_bytes": "bytes",
    "_per_h": "per hour",
    "_percent": "%",
}
_KINDS: Final = {
    bool: "true, false",
    int: "whole number",
    float: "number",
    dict: "names and values",
}
_SIGNS: Final = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


def _files() -> str:
    """The variables that may name a secret's file."""
    return ", ".join(f"`{name}`" for name in files_of(Settings))


_HEAD: Final = f"""# Settings

{GENERATED}

Every process reads the same settings: from the environment, then `.env` in the current folder,
then `andon.toml` there (`ANDON_CONFIG` names another file, which must exist). What stands first
wins, name by name. In the environment a setting is called `ANDON_`, its section and its name, with
two underscores between them; lists and tables are JSON there, and a list of words may have commas.

```toml
[kafka]
bootstrap_servers = "broker1:9092,broker2:9092"   # ANDON_KAFKA__BOOTSTRAP_SERVERS

[[classifier.endpoints]]                          # ANDON_CLASSIFIER__ENDPOINTS='[{{"name": ...}}]'
name = "llm"
```

A mistake ends every process before it begins, and names file, section and setting; so does a name
that is none, with the one that was probably meant. Files are UTF-8, with or without a byte order
mark. Variables that Kubernetes and Docker write (`ANDON_..._SERVICE_HOST`, `tcp://...`) are passed
over, and those that `api_key_env` names.

Passwords, keys and tokens are shown as `***` in messages, logs and `andon doctor`. Each of them may
stand in a file instead: {_files()} name it, or `password_file` and the like in the TOML file. A
secret that is named twice in one place is a mistake; the line break at the file's end is no part of
it.

Addresses are understood as their communities write them: `postgres://` and `?sslmode=` (with
`sslrootcert`, `sslcert`, `sslkey`), `http://` and `https://` before the S3 endpoint,
`PLAINTEXT://` before a broker, a pasted `/chat/completions` after an endpoint. What cannot be meant
is refused with the right form.
"""


def reference() -> str:
    """The whole document."""
    lines = [_HEAD, "## Read beside the settings\n", "| environment | what it says |", "|---|---|"]
    lines += [f"| `{name}` | {words} |" for name, words in OTHERS.items()]
    plain = [n for n, f in Settings.model_fields.items() if model_in(f.annotation) is None]
    lines += ["", "## Without a section", "", *_table(Settings, (), plain)]
    for name, field in Settings.model_fields.items():
        section = model_in(field.annotation)
        if section is not None:
            lines += _section(section, (name,))
    return "\n".join(lines) + "\n"


def undescribed() -> list[str]:
    """Settings that no docstring explains."""
    rows = _all(Settings, ())
    return [".".join(path) for model, path in rows if not _described(model).get(path[-1])]


def _all(
    model: type[BaseModel], path: tuple[str, ...]
) -> Iterator[tuple[type[BaseModel], tuple[str, ...]]]:
    for name, field in model.model_fields.items():
        below = model_in(field.annotation) or _element(field)
        if below is None:
            yield model, (*path, name)
        else:
            yield from _all(below, (*path, name))


def _section(model: type[BaseModel], path: tuple[str, ...], is_listed: bool = False) -> list[str]:
    """A heading, a table, and the sections below it."""
    title = f"[[{'.'.join(path)}]]" if is_listed else f"[{'.'.join(path)}]"
    about = (inspect.getdoc(model) or "").split("\n\n")[0].replace("\n", " ")
    inner = {n: model_in(f.annotation) or _element(f) for n, f in model.model_fields.items()}
    own = [name for name, below in inner.items() if below is None]
    lines = ["", f"## `{title}`", "", about.replace("``", "`"), ""]
    lines += _table(model, path, own, is_listed) if own else []
    for name, below in inner.items():
        if below is not None:
            listed = _element(model.model_fields[name]) is not None
            lines += _section(below, (*path, name), is_listed or listed)
    return lines


def _table(
    model: type[BaseModel], path: tuple[str, ...], names: list[str], is_listed: bool = False
) -> list[str]:
    """One row a setting; those of a list's elements have no variable of their own."""
    heads = ["name", "default", "unit or form", "what it does"]
    heads += [] if is_listed else ["environment"]
    rows = []
    for name in names:
        field = model.model_fields[name]
        row = [f"`{name}`", _default(field), _form(name, field), _described(model).get(name, "")]
        rows.append(row if is_listed else [*row, f"`{variable_of((*path, name))}`"])
    return table(heads, rows)


@cache
def _described(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, of the model and those that it extends."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            found |= docstrings_below(one)
    return found


def _element(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a list's elements."""
    for part in (field.annotation, *get_args(field.annotation)):
        if get_origin(part) in (tuple, list):
            return next((m for a in get_args(part) if (m := model_in(a))), None)
    return None


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "must be given"
    if isinstance(value, SecretStr):
        return {"": "empty", "none": "none"}.get(value.get_secret_value(), "of the local stack")
    if value is None:
        return "none"
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | dict):
        return f"`{json.dumps(value, default=str)}`" if value else "empty"
    return f"`{value}`"


def _form(name: str, field: FieldInfo) -> str:
    """Unit, choices or kind, and the bounds."""
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    kinds, rules = _types(field.annotation), [*field.metadata, *_rules(field.annotation)]
    own = kinds[:1] if dict in kinds[:1] else kinds
    words = unit or next((words for kind, words in _KINDS.items() if kind in own), "")
    bounds = []
    for rule in rules:
        for attribute, sign in _SIGNS:
            if (value := getattr(rule, attribute, None)) is not None:
                bounds.append(f"{sign} {value}")
        if (longest := getattr(rule, "max_length", None)) is not None:
            bounds.append(f"at most {longest}" + (" characters" if str in kinds[:1] else ""))
        if (pattern := getattr(rule, "pattern", None)) is not None:
            bounds.append(f"`{pattern}`")
    return ", ".join(part for part in (words, *bounds) if part)


def _types(annotation: object) -> list[object]:
    """The types that an annotation is made of, a container's own before its elements'."""
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    below = [kind for part in get_args(plain)[:2] for kind in _types(part)]
    return [kind for kind in (get_origin(plain) or plain, *below) if isinstance(kind, type)]


def _rules(annotation: object) -> list[object]:
    """The bounds inside an annotation that may also be None."""
    found: list[object] = []
    for part in get_args(annotation):
        if get_origin(part) is Annotated:
            for rule in get_args(part)[1:]:
                found += rule.metadata if isinstance(rule, FieldInfo) else [rule]
    return found


def _choices(annotation: object) -> list[str]:
    """The values of a closed choice."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Literal:
            return [str(value) for value in get_args(part)]
        if isinstance(part, type) and hasattr(part, "__members__"):
            return [str(member.value) for member in part.__members__.values()]
    return []
