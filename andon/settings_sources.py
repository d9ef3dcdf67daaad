"""Reads settings from the environment, ``.env`` and the TOML file, and knows where each stands.

A mistake names file, section and setting; an unknown name is a mistake, with the nearest right one.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from andon.settings_names import (
    OTHERS,
    PREFIX,
    SettingPlace,
    Step,
    elsewhere,
    find,
    is_foreign,
    names_at,
    nearest,
    variable_of,
    variables_of,
)
from andon.settings_secrets import files_of, fill_tables, filled
from streams.errors import AndonError
from streams.masking import masked

CONFIG: Final = f"{PREFIX}CONFIG"
DEFAULT_FILE: Final = "andon.toml"
ENV_FILE: Final = ".env"
_SHOWN_CHARS: Final = 80


class SettingsError(AndonError):
    """A setting has a value that cannot be used; the message names it and where it stands."""


@dataclass
class Gathered:
    """What the sources say together: the later ones win."""

    values: dict[str, object] = field(default_factory=dict)
    places: dict[tuple[Step, ...], str] = field(default_factory=dict)
    """Where a value stands, by its path: ``andon.toml`` or the environment's name."""
    problems: list[str] = field(default_factory=list)

    def put(self, path: Sequence[str], value: object, place: str) -> None:
        """Take a value, merged into what stands there already."""
        into = self.values
        for step in path[:-1]:
            below = into.get(step)
            if not isinstance(below, dict):
                below = into[step] = {}
            into = below
        old = into.get(path[-1])
        both = isinstance(old, dict) and isinstance(value, dict)
        into[path[-1]] = _merged(old, value) if both else value
        self.places = {
            p: w for p, w in self.places.items() if both or p[: len(path)] != tuple(path)
        }
        self.places[tuple(path)] = place


def gather(root: type[BaseModel], environment: Mapping[str, str]) -> dict[str, object]:
    """The values of all sources, nested by section; not yet validated.

    Raises:
        SettingsError: every file that cannot be read and every name that is none, at once.
    """
    return _gather(root, environment).values


def explained(error: ValidationError, root: type[BaseModel], environment: Mapping[str, str]) -> str:
    """Each mistake by file, section and setting."""
    gathered = _gather(root, environment)
    lines = []
    for one in error.errors(include_url=False):
        loc = to_the_field(root, tuple(one["loc"]), one["msg"])
        if one["type"] == "extra_forbidden":
            problem = _unknown(root, loc)
        else:
            problem = problem_of(root, loc, one)
        lines.append(f"{_where(gathered, loc)}: {problem}")
    return masked("; ".join(lines))


def _gather(root: type[BaseModel], environment: Mapping[str, str]) -> Gathered:
    gathered = Gathered()
    _add_toml(gathered, root, environment.get(CONFIG, ""))
    from_file = _of_env_file(gathered)
    for variables, suffix in ((from_file, f" in {ENV_FILE}"), (environment, "")):
        whole = filled(root, variables, suffix, gathered.problems)
        _add_variables(gathered, root, whole, suffix)
    _refuse_unknown(
        gathered,
        root,
        dict.fromkeys(environment, "") | dict.fromkeys(from_file, f" in {ENV_FILE}"),
        {**from_file, **environment},
    )
    if gathered.problems:
        raise SettingsError(masked("settings: " + "; ".join(gathered.problems)))
    return gathered


def _add_toml(gathered: Gathered, root: type[BaseModel], named: str) -> None:
    path = Path(named or DEFAULT_FILE)
    try:
        is_file = path.is_file()
        what = "is a folder" if path.is_dir() else "does not exist"
    except OSError as error:
        is_file, what = False, f"cannot be looked at: {error.strerror}"
    if not is_file:
        if named:
            gathered.problems.append(f"{CONFIG} names {named}, which {what}")
        elif what != "does not exist":  # as Docker makes of a file that is mounted and absent
            gathered.problems.append(f"{path} {what} and no file of settings")
        return
    text = _text_of(path, gathered)
    if text is None:
        return
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        gathered.problems.append(f"{path} is not TOML: {error}{_hint_of_toml(text, str(error))}")
        return
    fill_tables(root, document, gathered.problems)
    for name, value in document.items():
        gathered.put((name,), value, str(path))


def _hint_of_toml(text: str, error: str) -> str:
    """What people write who know other formats."""
    found = re.search(r"at line (\d+)", error)
    line = text.splitlines()[int(found[1]) - 1].strip() if found else ""
    shown = f": {line[:_SHOWN_CHARS]!r}" if line else ""
    if "overwrite" in error and (repeated := _repeated(text)):
        return f": {repeated} stands there twice"
    if re.match(r"[\w.\-]+\s*:(?:\s|$)", line):
        return f"{shown}; write name = value, with text in quotes"
    if re.match(r"[\w.\-]+\s*=\s*[A-Za-z./\\]", line):
        return f"{shown}; text stands in quotes"
    if "\\" in line:
        return f"{shown}; a backslash is written twice, or the text in single quotes"
    return shown


def _repeated(text: str) -> str:
    """The first name that a section gives twice."""
    section, seen = "", set[str]()
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            section, seen = line.strip(), set[str]()
        name = line.partition("=")[0].strip()
        if "=" in line and name in seen:
            return f"{section} {name}".strip()
        seen.add(name)
    return ""


def _of_env_file(gathered: Gathered) -> dict[str, str]:
    """The variables of ``.env`` in the current folder that are Andon's."""
    path = Path(ENV_FILE)
    text = _text_of(path, gathered) if path.is_file() else None
    if text is None:
        return {}
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            line, shown = binding.original.line, binding.original.string.strip()
            words = shown.splitlines()[0][:_SHOWN_CHARS] if shown else ""
            gathered.problems.append(f"{path} line {line} is not NAME=value: {words!r}")
    if gathered.problems:
        return {}
    found = dotenv_values(stream=StringIO(text))
    return {n.upper(): v or "" for n, v in found.items() if n.upper().startswith(PREFIX)}


def _text_of(path: Path, gathered: Gathered) -> str | None:
    """A file's text: UTF-8, with or without a byte order mark, or UTF-16 with one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        gathered.problems.append(f"{path} cannot be read: {error.strerror}")
        return None
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        words = f"{path} line {line} is not UTF-8 (Latin-1 perhaps); save the file as UTF-8"
        gathered.problems.append(words)
        return None


def _add_variables(
    gathered: Gathered, root: type[BaseModel], variables: Mapping[str, str], suffix: str
) -> None:
    """Take the variables that name a setting; a whole section before its parts."""
    known = variables_of(root)
    names = {name.upper(): name for name in variables if name.upper().startswith(PREFIX)}
    for name in sorted(names, key=lambda n: n.count("__")):
        node = known.get(name) or _below_free_names(root, name)
        if node is None:
            continue
        text = variables[names[name]]
        if node.is_list_of_words and not text.lstrip().startswith("["):
            words = [word.strip() for word in text.split(",") if word.strip()]
            gathered.put(node.path, words, f"{name}{suffix}")
            continue
        if not node.is_structured:
            gathered.put(node.path, text, f"{name}{suffix}")
            continue
        try:
            value = json.loads(text.lstrip("\ufeff"))
        except (ValueError, RecursionError) as error:
            gathered.problems.append(f"{name}{suffix} is not JSON: {error}{_hint_of_json(text)}")
            continue
        gathered.put(node.path, value, f"{name}{suffix}")


def _hint_of_json(text: str) -> str:
    plain = text.strip()
    if not plain:
        return "; it is empty: unset it, or write {} or []"
    if "'" in plain and '"' not in plain:
        return "; names and text stand in double quotes"
    if re.search(r",\s*[\]}]", plain):
        return "; no comma before a closing bracket"
    if re.search("[\u201c\u201d\u201e]", plain):
        return "; its quotes are typographic"
    return ""


def _below_free_names(root: type[BaseModel], name: str) -> SettingPlace | None:
    """A setting whose last name is free, such as ``ANDON_GATEWAY__RECIPES__1``."""
    path = name.removeprefix(PREFIX).lower().split("__")
    if not all(path):
        return None
    above = [find(root, path[:length]) for length in range(1, len(path))]
    is_free = any(node is not None and node.has_free_names for node in above)
    return find(root, path) if is_free else None


def _refuse_unknown(
    gathered: Gathered,
    root: type[BaseModel],
    names: Mapping[str, str],
    variables: Mapping[str, str],
) -> None:
    """A variable of Andon's that names nothing is a mistake."""
    known = {**variables_of(root), **files_of(root)}
    keys = _key_variables(gathered.values)
    for given, suffix in names.items():
        name = given.upper()
        if not name.startswith(PREFIX) or name in known or name in keys:
            continue
        if is_foreign(name, variables[given]) or _below_free_names(root, name) is not None:
            continue
        found = nearest(name, [*known, *OTHERS])
        hint = f"did you mean {found}?" if found else "docs/settings.md lists the names"
        whole = next((n for n in known if name.startswith(f"{n}__") and known[n].is_list), None)
        if whole is not None:
            hint = f"{whole} is a list: write it whole, as JSON"
        gathered.problems.append(f"{name}{suffix} is no setting; {hint}")


def _key_variables(values: Mapping[str, object]) -> set[str]:
    """The variables that endpoints name for their keys."""
    classifier = values.get("classifier")
    endpoints = classifier.get("endpoints") if isinstance(classifier, dict) else None
    found = endpoints if isinstance(endpoints, list) else []
    return {str(e.get("api_key_env", "")).upper() for e in found if isinstance(e, dict)}


def _merged(old: object, new: object) -> object:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {name: _merged(old.get(name), value) for name, value in new.items()}


def _where(gathered: Gathered, loc: tuple[Step, ...]) -> str:
    """File, section and setting of a path, and the environment's name."""
    for length in range(len(loc), -1, -1):
        place = gathered.places.get(loc[:length])
        if place is None:
            continue
        rest = ".".join(map(str, loc[length:]))
        if place.startswith(PREFIX):
            return f"{place} ({rest})" if rest else place
        section = ".".join(str(step) for step in loc[:-1] if isinstance(step, str))
        number = next((f" number {step + 1}" for step in loc if isinstance(step, int)), "")
        in_section = f" [{section}]{number}" if section else ""
        variable = "" if number else f" ({variable_of(loc)})"
        return f"{place}:{in_section} {loc[-1] if loc else ''}{variable}"
    return variable_of(loc)


def _unknown(root: type[BaseModel], loc: tuple[Step, ...]) -> str:
    names = names_at(root, loc[:-1])
    name = str(loc[-1])
    found = nearest(name, names)
    place = elsewhere(root, name)
    if found:
        return f"no such name; did you mean {found!r}?"
    if place is not None and len(place) > 1:
        return f"no such name here; {place[-1]!r} stands in [{'.'.join(place[:-1])}]"
    return f"no such name; there are {', '.join(names)}"


def to_the_field(root: type[BaseModel], loc: tuple[Step, ...], message: str) -> tuple[Step, ...]:
    """A section's own check begins its message with the setting that it is about."""
    named = re.match(r"(?:Value error, )?(\w+): ", message)
    return (*loc, named[1]) if named and named[1] in names_at(root, loc) else loc


def problem_of(root: type[BaseModel], loc: tuple[Step, ...], one: ErrorDetails) -> str:
    """Pydantic's message as part of a sentence, without the setting that it begins with."""
    if one["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return "expected a section of names and values" + _given(root, loc, one["input"])
    text = one["msg"].removeprefix("Value error, ")
    if loc:
        text = text.removeprefix(f"{loc[-1]}: ")
    return _sentence(text) + _given(root, loc, one["input"])


def _sentence(text: str) -> str:
    """As it goes on behind a colon; a name, such as a signal's, stays as it is written."""
    return text if re.match(r"\w+: |[A-Z]+\b", text) else text[:1].lower() + text[1:]


def _given(root: type[BaseModel], loc: tuple[Step, ...], value: object) -> str:
    """The value that was given, unless it is secret or large."""
    node = find(root, loc)
    is_secret = node is not None and "Secret" in str(node.annotation)
    if isinstance(value, dict | list | tuple | BaseModel) or value is None or is_secret:
        return ""
    shown = repr(str(value)[:_SHOWN_CHARS])
    return f", not {shown}" if str(value).strip() else "; it is empty: unset it, or write a value"
