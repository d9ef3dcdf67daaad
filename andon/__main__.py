"""``andon``: the commands of the line, and those of the laboratory."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from andon import __version__
from andon.cli import (
    classify,
    console,
    doctor,
    gateway,
    history,
    inspect,
    policy,
    stack,
    train,
    worker,
)
from andon.scheduling import adopt_scheduling
from streams.errors import AndonError

if TYPE_CHECKING:
    from typer._click.core import Command, Context


LINE: dict[str, tuple[typer.Typer, str]] = {
    "stack": (stack.app, "The local stack: broker, PostgreSQL, S3 (up, down, status)."),
    "gateway": (gateway.app, "The edge process of one line: PLC, camera, Kafka."),
    "worker": (worker.app, "A Faust role: inspect, classify, record, limits."),
    "train": (train.app, "Train a vision expert on normal images."),
    "inspect": (inspect.app, "Score images with a trained expert."),
    "classify": (classify.app, "Teach the local classifier and ask it."),
    "policy": (policy.app, "Validate, explain, compare, back-test and apply policies."),
    "history": (history.app, "Read the defect history."),
    "console": (console.app, "HTTP API over the history."),
    "doctor": (doctor.app, "Check every configured dependency and say what to do."),
}
"""What a plant runs. These modules import torch, Ray and the like inside their functions only."""
LABORATORY: dict[str, str] = {
    "demo": "Run the whole line once over a folder of photographs.",
    "plc": "A simulated PLC: an OPC UA server that plays a line.",
    "llm": "Check the endpoints of a multimodal LLM, or run a local twin of one.",
    "evaluate": "Score predictions and pipelines; the paper's benchmark.",
    "benchmark": "Measure the line, the experts and the policies.",
}
"""What no line needs: imported when it is called, so that a plant's processes never do."""


class CommandGroup(TyperGroup):
    """The subcommands in the order of their help, the laboratory's imported when asked for."""

    def list_commands(self, ctx: "Context") -> list[str]:
        """Names in the order of the help."""
        return [*LINE, *LABORATORY]

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """The subcommand, or None when there is no such name."""
        if cmd_name in LINE:
            found, help_text = LINE[cmd_name]
        elif cmd_name in LABORATORY:
            from lab.cli import COMMANDS

            found, help_text = COMMANDS[cmd_name], LABORATORY[cmd_name]
        else:
            return None
        command = typer.main.get_command(found)
        command.name = cmd_name
        command.help = command.short_help = help_text
        return command


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def cli(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Visual inspection for factory lines: detect, classify, act."""
    adopt_scheduling()


def main() -> None:
    """Run; an expected error is one line and exit code 1, bad usage exit code 2."""
    try:
        app(prog_name="andon")
    except AndonError as error:
        message = Text("error: ", style="bold red") + Text(str(error), style="default")
        Console(stderr=True, soft_wrap=True).print(message)
        sys.exit(1)


if __name__ == "__main__":
    main()
