"""Options that belong together are one object: no command takes more than a reader can hold."""

import typer
from typer.core import TyperCommand, TyperGroup

from andon.__main__ import app

MOST_PARAMETERS = 12


def commands(command: TyperCommand | TyperGroup, path: str) -> dict[str, int]:
    """Every command at and below one, with the number of its own parameters."""
    if not isinstance(command, TyperGroup):
        added = {"help", "install_completion", "show_completion"}
        return {path: sum(p.name not in added for p in command.params)}
    context = typer.Context(command)
    found: dict[str, int] = {}
    for name in command.list_commands(context):
        _, called, _ = command.resolve_command(context, [name])
        found |= commands(called, f"{path} {name}")  # type: ignore[arg-type]
    return found


def test_no_command_has_more_than_twelve_parameters() -> None:
    found = commands(typer.main.get_command(app), "andon")  # type: ignore[arg-type]
    assert len(found) > 30
    assert {path: count for path, count in found.items() if count > MOST_PARAMETERS} == {}
