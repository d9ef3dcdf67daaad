"""Figures as people read them."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from andon.cli.printing import plain


def figures_table(figures: Mapping[str, object], title: str) -> Table:
    """Any nested result as a table of two columns."""
    table = Table(title=title, title_justify="left", show_header=False)
    for key, value in figures.items():
        for row in value if isinstance(value, list) else [value]:
            cells = ", ".join(f"{k} {v}" for k, v in row.items()) if isinstance(row, dict) else row
            table.add_row(plain(key.replace("_", " ")), plain(str(cells)))
    return table


def table_of(
    headings: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, left: int = 1
) -> Table:
    """A table whose first ``left`` columns are words and whose others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
