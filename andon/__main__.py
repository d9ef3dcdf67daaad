"""``andon``: subcommands are imported only when called, so that ``--help`` is quick."""

import importlib
import importlib.util
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from andon import __version__
from andon.scheduling import adopt_scheduling
from streams.errors import AndonError

COMMANDS: dict[str, str] = {
    "demo": "Run the whole line once over a folder of photographs.",
    "stack": "The local stack: broker, PostgreSQL, S3 (up, down, status).",
    "gateway": "The edge process of one line: PLC, camera, Kafka.",
    "plc": "A simulated PLC: an OPC UA server that plays a line.",
    "worker": "A Faust role: inspect, classify, record, limits.",
    "train": "Train a vision expert on normal images.",
    "inspect": "Score images with a trained expert.",
    "classify": "Teach the local classifier and ask it.",
    "policy": "Validate, explain, compare, back-test and apply policies.",
    "history": "Read the defect history.",
    "console": "HTTP API over the history.",
    "evaluate": "Score predictions and pipelines; the paper's benchmark.",
    "benchmark": "Measure the line, the experts and the policies.",
    "llm": "The local twin of an OpenAI-compatible endpoint.",
    "doctor": "Check every configured dependency and say what to do.",
}


class LazyGroup(TyperGroup):
    """A group whose subcommands live in ``andon.commands.<name>``.

    Command modules import torch, Ray and the like inside their functions only.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if _exists(name)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS or not _exists(cmd_name):
            return None
        module = importlib.import_module(f"andon.commands.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        command.help = command.short_help = COMMANDS[cmd_name]
        return command


def _exists(name: str) -> bool:
    return importlib.util.find_spec(f"andon.commands.{name}") is not None


app = typer.Typer(
    cls=LazyGroup,
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
