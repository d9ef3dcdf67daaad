"""``andon benchmark takeover``: a second gateway, and a stand-by that takes over."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table


def takeover(
    parts: Annotated[int, typer.Option(min=20, help="Parts to play.")] = 1000,
    takt: Annotated[float, typer.Option(min=0.02, help="Seconds between parts.")] = 0.2,
    window: Annotated[float, typer.Option(min=0.3, help="Result window, seconds.")] = 1.0,
    faults: Annotated[int, typer.Option(min=1, help="Kills and stops, by turns.")] = 10,
    smoke: Annotated[bool, typer.Option("--smoke", help="60 parts, two faults, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Gateways killed and stopped with a stand-by beside them; exit 1 where a part went wrong.

    `verdict` is about parts: each has one result, or the controller's own default. `in_time` says
    whether a second gateway was refused within 2 s and each takeover was over within 3 s.
    """
    from lab.benchmarks.takeover import TakeoverOptions, run_takeover

    options = TakeoverOptions(60 if smoke else parts, takt, window, 2 if smoke else faults)
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        found = asyncio.run(run_takeover(Path(folder), options, print_aside))
    print_found(found, [figures_table(found, "Takeovers")], as_json)
    raise typer.Exit(0 if found["verdict"] == "holds" and (smoke or found["in_time"]) else 1)
