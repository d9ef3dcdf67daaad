"""``andon doctor``: is everything that this host is configured with there?"""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from andon.cli.options import Json

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    only: Annotated[
        list[str] | None, typer.Argument(help="Checks to run; all without.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every configured dependency; exit code 1 when one fails."""
    from andon.checks import CHECKS, examine
    from andon.settings import load_settings

    names = list(only or CHECKS)
    if unknown := [name for name in names if name not in CHECKS]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(CHECKS)}")
    findings = asyncio.run(examine(load_settings(), names))
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings]))
    else:
        table = Table("", "check", "found", "what to do")
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]fails[/]"
            table.add_row(mark, finding.name, escape(finding.detail), escape(finding.remedy))
        Console().print(table)
    raise typer.Exit(0 if all(f.ok for f in findings) else 1)
