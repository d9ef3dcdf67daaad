"""``andon history golden``: has each line run its known parts this shift, and judged them right?"""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from andon.cli.history.asking import ask, moment
from andon.cli.options import Json
from andon.settings import load_settings
from history.golden import GoldenStatus
from history.text import visible

_COLOURS = {"right": "green", "wrong": "red", "missing": "yellow"}


def golden(
    line: Annotated[str | None, typer.Option(help="Line.")] = None,
    at: Annotated[
        str | None,
        typer.Option(help="The shift at this time: 8h, 2026-11-23T06:30 (UTC); now without."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The golden parts of a shift: run or missing, judged right or wrong. Exit code 1 if not whole.

    The parts are those under `golden:` of the policies in force, for each line that ran their
    product in the shift; shifts are those of ANDON_PLANT__SHIFTS, without any the plant's day.
    """
    until = moment(at) if at else datetime.now(UTC)
    shift, since = load_settings().plant.shift_at(until)
    found = ask(lambda history: history.golden_parts(since, until, line))
    is_complete = all(status.state == "right" for status in found)
    if as_json:
        parts = [status.model_dump(mode="json") for status in found]
        head = {"shift": shift, "since": since.isoformat(), "is_complete": is_complete}
        typer.echo(json.dumps({**head, "parts": parts}))
    else:
        _print(found, f"shift {shift}, since {since:%Y-%m-%d %H:%M} UTC", is_complete)
    raise typer.Exit(0 if is_complete else 1)


def _print(found: tuple[GoldenStatus, ...], title: str, is_complete: bool) -> None:
    console = Console()
    if not found:
        console.print(f"{title}: no line ran a product whose policy lists golden parts")
        return
    table = Table("line", "product", "part", "state", "runs", "last", "expected", title=title)
    for status in found:
        last = status.last
        names = (status.line, status.product_id, status.part_id)
        table.add_row(
            *(visible(name).replace("[", r"\[") for name in names),
            f"[{_COLOURS[status.state]}]{status.state}",
            f"{status.runs}, {status.wrong} wrong" if status.wrong else str(status.runs),
            f"{last.captured_at:%H:%M:%S} {last.action}" if last else "-",
            ", ".join(last.expected) if last else "-",
        )
    console.print(table)
    console.print("complete" if is_complete else "not complete: run the parts that are not right")
