"""``andon benchmark drift``: how soon a change is noticed, and how often nothing is."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from andon.cli.experts import stage_bars
from andon.cli.options import Json
from andon.cli.printing import print_found
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.benchmarks.drift import DriftFigures

BOUNDS = {"gamma .8": 300, "gamma .6": 50}
"""Parts within which these changes must be noticed in every run."""


def drift(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="A data set; without it the textile set.", show_default=False),
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option(help="Watch this expert's answers; without it one is trained.")
    ] = None,
    rate: Annotated[float, typer.Option(help="False-alarm rate asked for when training.")] = 0.05,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Probability of a false alarm, at most.")
    ] = 0.01,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each kind.")] = 20,
    parts: Annotated[
        int, typer.Option(min=100, help="Parts of each run without a change.")
    ] = 10_000,
    before: Annotated[
        int, typer.Option(min=0, help="Parts without a change before each change.")
    ] = 1000,
    smoke: Annotated[bool, typer.Option("--smoke", help="Few and short runs, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Parts drawn from normals that were not trained on, unchanged and under other light or focus.

    Exit code 1 when a run without a change alarms, or gamma .8 or .6 is noticed too late.
    """
    from lab.benchmarks.drift import DriftOptions, measure_drift
    from lab.benchmarks.expert_run import given_or_trained, unseen_parts

    data = unseen_parts(dataset)
    options = DriftOptions(alpha, runs, parts, before)
    if smoke:
        data, options = data.limited(60), DriftOptions(alpha, 2, 500, 100)
    with stage_bars() as report:
        ready = given_or_trained(artifact, data, rate, report, smoke)
        found = measure_drift(ready, data, options, report)
    print_found(found, _shown(found), as_json)
    late = [
        name
        for name, bound in BOUNDS.items()
        if found["changes"][name]["most_parts"] > bound and not smoke
    ]
    raise typer.Exit(1 if late or found["false_alarms"] else 0)


def _shown(found: "DriftFigures") -> Iterator[RenderableType]:
    yield (
        f"{found['dataset']}: {found['false_alarms']} alarms in {found['quiet_runs']} runs of "
        f"{found['quiet_parts']} parts without a change (drawn from {found['parts']} parts; "
        f"at most {found['alpha']:g} a run expected)"
    )
    rows = [
        [
            name,
            f"{own['found']} of {own['runs']}",
            f"{own['median_parts']:g}",
            str(own["most_parts"]),
            str(BOUNDS.get(name, "")),
            f"{own['moved_right']} of {own['found']}",
            f"{own['began_within']:g}",
            ", ".join(f"{quantity} {count}" for quantity, count in own["quantities"].items()),
        ]
        for name, own in found["changes"].items()
    ]
    headings = ("change", "noticed", "parts", "most", "bar", "named right", "begins", "first by")
    yield table_of(headings, rows, f"Changes after {found['before']} parts")
