"""``andon plc check``: proves the signals of a controller before a line depends on them."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.options import Json
from andon.cli.plc_trust import settings_at
from andon.cli.printing import plain, print_found, progress, table_of_rows

if TYPE_CHECKING:
    from rich.console import RenderableType

    from connectors.opcua.check import Checked, CheckedSignal


def check(
    url: Annotated[
        str, typer.Option(help="The controller; ANDON_GATEWAY__PLC_URL without it.")
    ] = "",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Write nothing; rights are only read.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prove types, rights, intervals, write-back, heartbeat and T; say per signal what to do.

    The result registers are written and read back, and then have their own values again; nothing
    is written where a gateway is in charge. Exit code 1 where a line could not run.
    """
    from connectors.opcua import check as proving

    settings = settings_at(url)
    with progress() as bars:
        bar = bars.add_task("connects", total=None)
        found = asyncio.run(
            proving.check(
                settings.gateway, not read_only, lambda words: bars.update(bar, description=words)
            )
        )
    address = settings.gateway.plc_url
    print_found(_body(address, found), _shown(address, found), as_json)
    if not found.could_run:
        raise typer.Exit(1)


def _shown(url: str, found: "Checked") -> "Iterator[RenderableType]":
    rows = ([plain(cell) for cell in _cells(one)] for one in found.signals)
    columns = ("signal", "node", "type", "shows", "proved", "what to do")
    yield table_of_rows(columns, rows, f"Signals at {plain(url)}")
    conditions = (
        [plain(text) for text in (one.name, one.found, one.remedy)] for one in found.conditions
    )
    yield table_of_rows(("beside them", "found", "what to do"), conditions)
    stopping = [one.signal.wire_name for one in found.signals if one.stops]
    stopping += [one.name for one in found.conditions if one.stops]
    lost = sum(bool(one.found) and not one.stops for one in found.signals)
    if stopping:
        yield f"[red]no line could run[/red]: {plain(', '.join(stopping))}"
    else:
        yield f"a line could run{f', without {lost} signals' if lost else ''}"


def _cells(one: "CheckedSignal") -> list[str]:
    todo = f"{one.found}: {one.remedy}" if one.found else ""
    if todo and one.lost:
        todo += f" (else {one.lost})"
    return [one.signal.wire_name, one.node, one.kind, f"{one.shows}"[:40], one.proved, todo]


def _body(url: str, found: "Checked") -> dict[str, object]:
    signals = [
        {
            "signal": one.signal.wire_name,
            "node": one.node,
            "type": one.kind,
            "shows": one.shows,
            "proved": one.proved,
            "found": one.found,
            "remedy": one.remedy,
            "lost": one.lost,
            "stops": one.stops,
        }
        for one in found.signals
    ]
    conditions = [
        {
            "name": one.name,
            "found": one.found,
            "is_met": one.is_met,
            "stops": one.stops,
            "remedy": one.remedy,
        }
        for one in found.conditions
    ]
    return {
        "url": url,
        "could_run": found.could_run,
        "signals": signals,
        "conditions": conditions,
    }
