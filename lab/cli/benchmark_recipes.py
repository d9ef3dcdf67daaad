"""``andon benchmark recipes``: change-overs while parts run."""

import logging
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table


def recipes(
    changeovers: Annotated[int, typer.Option(min=4, help="Change-overs that succeed.")] = 50,
    takt: Annotated[float, typer.Option(min=0.02, help="Seconds between parts.")] = 0.05,
    window: Annotated[float, typer.Option(min=1, max=60, help="Result window, seconds.")] = 4.0,
    between: Annotated[
        float, typer.Option(min=0.1, help="Seconds from an answer to the next request.")
    ] = 0.6,
    seed: Annotated[int, typer.Option(help="Of the expert's latencies.")] = 16,
    smoke: Annotated[bool, typer.Option("--smoke", help="Eight change-overs, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Recipes changed under load, a few of which cannot be had; exit 1 where a part went wrong.

    `by_old_recipe` counts the decisions by another recipe than the one in force, judged by the
    controller's book, the picture's name and the decision's policy and expert; `lost` the parts
    that the gateway gave no result. The time is the controller's, from request to answer.
    """
    from lab.benchmarks.recipes import RecipesBenchmark, benchmark_recipes

    logging.getLogger("asyncua").setLevel(logging.ERROR)
    options = RecipesBenchmark(8 if smoke else changeovers, takt, window, between, seed=seed)
    with tempfile.TemporaryDirectory(prefix="andon-recipes-") as folder:
        found = benchmark_recipes(options, Path(folder), print_aside)
    print_found(found, [figures_table(found, "Change-overs under load")], as_json)
    wrong = ("by_old_recipe", "lost", "acted_twice", "unanswered", "not_on_record")
    every = found["change_overs"] == options.changeovers
    raise typer.Exit(0 if every and not any(found[name] for name in wrong) else 1)
