"""Writes ``docs/commands.md``: every command with its arguments and options."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperGroup

from andon.cli.laboratory import GroupWithLaboratory
from andon.reference.text import GENERATED, table

if TYPE_CHECKING:
    from typer._click.core import Command, Parameter

_HEAD: Final = f"""# Commands

{GENERATED}

Every command has `--help`, and ends with 0, with 1 when it failed (the last line says why), or with
2 when it was called wrongly. `--json` prints one JSON object instead of tables, for programs.
Options of `--set` are given as `--set NAME=VALUE`, as often as wanted. The commands read the
settings of [settings.md](settings.md). `stack` needs `pip install 'andon[embedded]'`;
{{laboratory}} need `pip install 'andon[lab,embedded,demo]'`.
"""
_PLAIN: Final = {
    "str": "text",
    "path": "path",
    "dir": "folder",
    "file": "file",
    "uuid": "UUID",
    "int": "whole number",
    "float": "number",
    "bool": "flag",
}


def reference() -> str:
    """The whole document."""
    from andon.__main__ import app

    whole = typer.main.get_command(app)
    laboratory = ", ".join(f"`{words}`" for words in _laboratory(whole))
    commands = list(_commands(whole, "andon"))
    lines = [_HEAD.format(laboratory=laboratory), *_contents([words for words, _ in commands])]
    for words, command in commands:
        lines += _section(words, command)
    return "\n".join(lines) + "\n"


def _commands(command: "Command", words: str) -> "Iterator[tuple[str, Command]]":
    """Every command that does something, with the words that call it."""
    if not isinstance(command, TyperGroup):
        yield words, command
        return
    if command.invoke_without_command:
        yield words, command
    context = typer.Context(command)
    for name in command.list_commands(context):
        _, called, _ = command.resolve_command(context, [name])
        if called is not None:
            yield from _commands(called, f"{words} {name}")


def _contents(commands: Sequence[str]) -> list[str]:
    """A line for each word after ``andon``, with links to the commands that begin with it."""
    lines = []
    for word, group in groupby(commands, key=lambda words: words.split()[1]):
        links = [
            f"[{' '.join(words.split()[2:]) or word}](#{words.replace(' ', '-')})"
            for words in group
        ]
        lines.append(f"- `{word}`: {', '.join(links)}")
    return lines


def _laboratory(command: "Command", above: str = "") -> Iterator[str]:
    """The laboratory's commands and groups, by the words after ``andon``."""
    if isinstance(command, GroupWithLaboratory):
        context = typer.Context(command)
        for name in command.list_commands(context):
            if name in command.laboratory:
                yield f"{above}{name}"
            elif (below := command.get_command(context, name)) is not None:
                yield from _laboratory(below, f"{above}{name} ")


def _section(words: str, command: "Command") -> list[str]:
    about = re.sub(r"\s*\n\s*", " ", (command.help or "").strip())
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    lines = ["", f"## `{words}`", "", about]
    context = typer.Context(command)
    rows = [_row(parameter, context) for parameter in shown] + _more(command)
    return (
        [*lines, "", *table(["option", "value", "default", "what it does"], rows)]
        if rows
        else lines
    )


def _row(parameter: "Parameter", context: typer.Context) -> list[str]:
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if is_option else [_argument(parameter)]
    words = re.sub(r"\s*\n\s*", " ", getattr(parameter, "help", "") or "")
    repeatable = ", repeatable" if parameter.multiple or parameter.nargs == -1 else ""
    cells = [", ".join(f"`{name}`" for name in names), _kind(parameter, context) + repeatable]
    return [*cells, _default(parameter), words]


def _argument(parameter: "Parameter") -> str:
    return str(parameter.name or "").upper()


def _kind(parameter: "Parameter", context: typer.Context) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    shown: str = getattr(parameter, "display_type", lambda _: "<text>")(context)
    name = re.sub(r"^<(?:list\[)?|\]?>$", "", shown)
    kind = _PLAIN.get(name.removesuffix(" range").lower()) or ", ".join(
        f"`{choice}`" for choice in name.split("|")
    )
    low, high = (getattr(parameter, bound, None) for bound in ("min", "max"))
    bounds = (("at least", low), ("at most", high))
    return ", ".join([kind, *(f"{sign} {n:g}" for sign, n in bounds if n is not None)])


def _default(parameter: "Parameter") -> str:
    value = parameter.default
    if parameter.required:
        return "must be given"
    if value is None or callable(value) or value in ((), [], ""):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{getattr(value, 'value', value)}`"


def _more(command: "Command") -> list[list[str]]:
    """The options of ``--set``, as the end of the command's help lists them."""
    rows = []
    for row in (getattr(command, "epilog", None) or "").split("\n\n")[1:]:
        name, _, words = row.partition(": ")
        text, _, default = words.partition(" Default: ")
        shown = f"`{default.removesuffix('.')}`" if default else ""
        rows.append([f"`--set {name}=`", "", shown, text.replace("\n", " ")])
    return rows
