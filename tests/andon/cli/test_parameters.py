"""Options that belong together are one object: no command takes more than a reader can hold."""

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from andon.__main__ import app

MOST_PARAMETERS = 12
TyperParameter = TyperArgument | TyperOption


def commands(command: TyperCommand | TyperGroup, path: str) -> dict[str, list[TyperParameter]]:
    """Every command at and below one, with its own parameters."""
    if not isinstance(command, TyperGroup):
        return {path: [p for p in command.params if p.name != "help"]}  # type: ignore[misc]
    context = typer.Context(command)
    found: dict[str, list[TyperParameter]] = {}
    for name in command.list_commands(context):
        _, called, _ = command.resolve_command(context, [name])
        found |= commands(called, f"{path} {name}")  # type: ignore[arg-type]
    return found


FOUND = commands(typer.main.get_command(app), "andon")  # type: ignore[arg-type]


def test_no_command_has_more_than_twelve_parameters() -> None:
    assert len(FOUND) > 30
    assert {path: len(of) for path, of in FOUND.items() if len(of) > MOST_PARAMETERS} == {}


def test_every_parameter_says_what_it_does() -> None:
    silent = [f"{path} {p.name}" for path, of in FOUND.items() for p in of if not p.help]
    assert not silent
