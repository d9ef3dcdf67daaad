"""Figures as people read them."""

import json
from collections.abc import Iterable, Mapping, Sequence

import typer
from rich.console import Console
from rich.table import Table


def print_result(figures: Mapping[str, object], title: str, as_json: bool) -> None:
    """One JSON object, or a table."""
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        print_figures(figures, title)


def print_figures(figures: Mapping[str, object], title: str) -> None:
    """Any nested result as a table of two columns."""
    table = Table(title=title, title_justify="left", show_header=False)
    for key, value in figures.items():
        rows = value if isinstance(value, list) else [value]
        for row in rows:
            cells = ", ".join(f"{k} {v}" for k, v in row.items()) if isinstance(row, dict) else row
            table.add_row(key.replace("_", " "), str(cells))
    Console().print(table)


def table_of(
    headings: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, left: int = 1
) -> Table:
    """A table whose first ``left`` columns are words and whose others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < left else "right")
    for row in rows:
        table.add_row(*row)
    return table
