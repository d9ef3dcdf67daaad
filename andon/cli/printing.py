"""How a command prints what it found: one JSON value for programs, lines and tables for people."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import typer
from rich.console import Console, RenderableType
from rich.errors import MarkupError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Column, Table

from history.text import visible

PIPED_WIDTH: Final = 10_000
"""Columns of an output that is no terminal: a table there is as wide as its words."""


def print_found(body: object, shown: Iterable[RenderableType], as_json: bool) -> None:
    """Print ``body`` as JSON, or ``shown`` for people; the other is not made if it is lazy."""
    if as_json:
        typer.echo(json.dumps(body, default=str))
    else:
        print_lines(shown)


class Say(Protocol):
    """Says something to people, and something of the one JSON object to programs."""

    def __call__(self, shown: Iterable[RenderableType], **body: object) -> None:
        """Lines, or tables; and fields of the object."""
        ...


@contextmanager
def told(as_json: bool) -> Iterator[Say]:
    """What a command says step by step: at once to people, or as one JSON object at its end.

    The object is printed too where the command ends with an error: it says how far that came.
    """
    found: dict[str, object] = {}

    def say(shown: Iterable[RenderableType], **body: object) -> None:
        found.update(body)
        if not as_json:
            print_lines(shown)

    try:
        yield say
    finally:
        if as_json:
            print_found(found, (), as_json)


def print_lines(shown: Iterable[RenderableType]) -> None:
    """Print lines with rich's markup, and tables; no line is broken.

    A line whose brackets make no markup is shown as it is: a folder may be called ``[/7]``.
    """
    out = console()
    for part in shown:
        try:
            out.print(part)
        except MarkupError:
            if not isinstance(part, str):
                raise
            out.print(part, markup=False)


def print_aside(text: str) -> None:
    """A line of what is under way, as it is: on standard error, beside what is found."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def console() -> Console:
    """Standard output: as wide as the terminal, or as its longest line where it is piped."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(soft_wrap=True, highlight=False, width=width)


def plain(text: str) -> str:
    """Text from outside, such as a file's or a class's name, as a line or a cell shows it.

    Brackets are no markup, and control characters are escaped.

    >>> plain("part[red].png")
    'part\\\\[red].png'
    """
    return escape(visible(text))


def table_of_rows(
    columns: Iterable[str], rows: Iterable[Iterable[RenderableType]], title: str | None = None
) -> Table:
    """A table with a heading over each column."""
    made = Table(*(Column(name, overflow="fold") for name in columns), title=title)
    for row in rows:
        made.add_row(*row)
    return made


def progress(transient: bool = True) -> Progress:
    """Bars on standard error; a transient one vanishes when its context ends."""
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=transient)
