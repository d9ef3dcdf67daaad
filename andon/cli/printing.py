"""How a command prints what it found: one JSON value for programs, lines and tables for people."""

import json
from collections.abc import Iterable

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table


def print_found(body: object, shown: Iterable[RenderableType], as_json: bool) -> None:
    """Print ``body`` as JSON, or ``shown`` for people; the other is not made if it is lazy."""
    if as_json:
        typer.echo(json.dumps(body, default=str))
    else:
        print_lines(shown)


def print_lines(shown: Iterable[RenderableType]) -> None:
    """Print lines with rich's markup, and tables; no line is broken."""
    out = Console(soft_wrap=True, highlight=False)
    for part in shown:
        out.print(part)


def table_of_rows(
    columns: Iterable[str], rows: Iterable[Iterable[RenderableType]], title: str | None = None
) -> Table:
    """A table with a heading over each column."""
    made = Table(*columns, title=title)
    for row in rows:
        made.add_row(*row)
    return made


def progress(transient: bool = True) -> Progress:
    """Bars on standard error; a transient one vanishes when its context ends."""
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=transient)
