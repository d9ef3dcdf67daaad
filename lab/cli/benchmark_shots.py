"""``andon benchmark shots``: parts of several shots, one result each."""

import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_found, progress
from lab.cli.tables import figures_table


def shots(
    parts: Annotated[int, typer.Option(min=10, help="Parts to play, three shots each.")] = 500,
    takt: Annotated[float, typer.Option(min=0.05, help="Seconds between parts.")] = 0.15,
    window: Annotated[float, typer.Option(min=2, max=60, help="Result window, seconds.")] = 8.0,
    seed: Annotated[int, typer.Option(help="What the parts show, and which are hit.")] = 16,
    smoke: Annotated[bool, typer.Option("--smoke", help="Twenty parts, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Parts of three shots; of ten, one loses a shot, one has a late and one a doubled one.

    Stand-ins judge the shots; gateway, inspect, classify and join run over the embedded broker and
    OPC UA. Exit code 1 unless the controller got one result for each part, the right one by an
    evaluator that shares no code with the policies.
    """
    from lab.benchmarks.shots import ShotsBenchmark, benchmark_shots

    logging.getLogger("asyncua").setLevel(logging.ERROR)
    options = ShotsBenchmark(20 if smoke else parts, takt, window, seed=seed)
    with tempfile.TemporaryDirectory(prefix="andon-shots-") as folder, progress() as bars:
        task = bars.add_task("parts", total=options.parts)
        found = benchmark_shots(
            options, Path(folder), lambda done: bars.update(task, completed=done)
        )
    shown = figures_table(found, "Three shots, one result")
    print_found(found, [shown], as_json)
    raise typer.Exit(0 if found["right"] == found["parts"] == found["one_result"] else 1)
