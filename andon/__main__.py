"""``andon``: the commands of the line, and those of the laboratory."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from rich.console import Console
from rich.text import Text

from andon.build import build
from andon.cli.finite import with_finite_numbers
from andon.cli.laboratory import GroupWithLaboratory, MissingExtraError
from andon.event_loop import adopt_event_loop
from andon.scheduling import adopt_scheduling
from history.text import visible
from serving.experts.errors import ExpertError
from streams.errors import AndonError
from streams.masking import masked

if TYPE_CHECKING:
    from typer._click.core import Command, Context


LINE = (
    "stack", "gateway", "vision-server", "plc", "camera", "worker", "product", "train", "inspect",
    "classify", "learn", "models", "policy", "certify", "taxonomy", "history", "console", "deploy",
    "doctor", "llm", "topics", "bundle",
)  # fmt: skip
"""What a plant runs; each has a module of its name in ``andon.cli``."""


class Andon(GroupWithLaboratory):
    """The subcommands in the order of their help."""

    laboratory: ClassVar[Mapping[str, str]] = {
        "demo": "Run the whole line once over a folder of photographs.",
        "evaluate": "Score predictions and pipelines; the paper's benchmark.",
        "benchmark": "Measure the line, the experts and the policies.",
        "supply": "What is installed here: bill of materials, licences, known weaknesses.",
    }

    def list_commands(self, ctx: "Context") -> list[str]:
        """Names in the order of the help."""
        return [*LINE, *self.laboratory]

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """The subcommand, or None when there is no such name.

        A process loads the modules of its own command only.
        """
        if cmd_name not in LINE:
            return super().get_command(ctx, cmd_name)
        command = typer.main.get_command(
            import_module(f"andon.cli.{cmd_name.replace('-', '_')}").app
        )
        command.name = cmd_name
        return with_finite_numbers(command)


app = typer.Typer(
    cls=Andon,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(build())
        raise typer.Exit


@app.callback()
def cli(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Visual inspection for factory lines: detect, classify, act."""
    adopt_scheduling(command=context.invoked_subcommand)


def main() -> None:
    """Run; an expected error is one line and exit code 1, bad usage exit code 2."""
    try:
        adopt_event_loop()
        app(prog_name="andon")
    except ModuleNotFoundError as error:
        if error.name in sys.stdlib_module_names or error.name is None:
            raise
        extras = "lab,embedded,demo" if "lab" in sys.modules else "embedded"
        _fail(MissingExtraError(error.name, extras))
    except (AndonError, ExpertError) as error:
        _fail(error)


def _fail(error: Exception) -> None:
    if _logged_as_json(error):
        sys.exit(1)
    shown = "\n".join(visible(line) for line in masked(str(error)).split("\n"))
    message = Text("error: ", style="bold red") + Text(shown, style="default")
    Console(stderr=True, soft_wrap=True).print(message)
    sys.exit(1)


def _logged_as_json(error: Exception) -> bool:
    """Whether this is a process whose log machines read: why it ended is a line of it too."""
    log = sys.modules.get("structlog")
    if log is None or not log.is_configured():  # a command at a prompt
        return False
    from andon.settings import load_settings

    if not load_settings().log_json:
        return False
    log.get_logger("andon").critical("ended", error=str(error))  # masked, as every event
    return True


if __name__ == "__main__":
    main()
