"""``andon doctor``: is everything that this host is configured with there?"""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from andon.checks import CHECKS, examine
from andon.cli.options import Json
from andon.cli.printing import print_found, table_of_rows
from andon.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    only: Annotated[
        list[str] | None, typer.Argument(help="Checks to run; all without.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every configured dependency; exit code 1 when one fails."""
    names = list(only or CHECKS)
    if unknown := [name for name in names if name not in CHECKS]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(CHECKS)}")
    findings = asyncio.run(examine(load_settings(), names))
    marks = {True: "[green]ok[/]", False: "[red]fails[/]"}
    rows = ((marks[f.ok], f.name, escape(f.detail), escape(f.remedy)) for f in findings)
    table = table_of_rows(("", "check", "found", "what to do"), rows)
    print_found([asdict(f) for f in findings], [table], as_json)
    raise typer.Exit(0 if all(f.ok for f in findings) else 1)
