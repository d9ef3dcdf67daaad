"""The laboratory's commands among the line's: listed by name, imported when they are called."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from andon.cli.finite import with_finite_numbers
from streams.errors import AndonError

if TYPE_CHECKING:
    from typer._click.core import Command, Context


class MissingExtraError(AndonError):
    """What was asked for needs libraries that a production install lacks."""

    def __init__(self, library: str, extras: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install 'andon[{extras}]'")


class GroupWithLaboratory(TyperGroup):
    """A group of the line's commands, followed by commands of the laboratory.

    The help of the group names both; a process of the line imports nothing of the laboratory.
    """

    laboratory: ClassVar[Mapping[str, str]] = {}
    """Help by name."""
    above: ClassVar[tuple[str, ...]] = ()
    """The words before the name on the command line, without ``andon``."""

    def list_commands(self, ctx: "Context") -> list[str]:
        """Names in the order of the help."""
        return [*super().list_commands(ctx), *self.laboratory]

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """A command of the line, or what the help must know of one of the laboratory."""
        if cmd_name in self.laboratory:
            return TyperCommand(cmd_name, help=self.laboratory[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: "Context", args: list[str]
    ) -> "tuple[str | None, Command | None, list[str]]":
        """The command that is called, imported.

        Raises:
            MissingExtraError: it belongs to the laboratory, whose dependencies are not installed.
        """
        if args[0] not in self.laboratory:
            return super().resolve_command(ctx, args)
        command = laboratory_command(*self.above, args[0])
        command.help = command.help or self.laboratory[args[0]]
        return args[0], command, args[1:]


def laboratory_command(*words: str) -> "Command":
    """The command that ``words`` call, with its name and without ``andon``."""
    try:
        from lab.cli import COMMANDS
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "lab,embedded,demo") from error
    command = typer.main.get_command(COMMANDS[words[0]])
    for word in words[1:]:
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    command.name = words[-1]
    return with_finite_numbers(command)
