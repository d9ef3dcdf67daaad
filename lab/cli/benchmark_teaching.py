"""``andon benchmark teaching``: what a few labelled photographs add to an expert."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field
from rich.console import RenderableType

from andon.cli.experts import stage_bars
from andon.cli.options import Json, More, MoreOptions, read_options
from andon.cli.printing import print_found
from lab.cli.smoke import folder_or_smoke
from lab.cli.tables import table_of


class TeachingMore(MoreOptions):
    """The options of ``--set``."""

    threads: int | None = Field(1, ge=1, description="CPU threads; the cost is told for one.")
    seed: int = Field(0, ge=0, description="Seed of every draw.")


def teaching(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="MVTec-AD, VisA or plain-folder data set.", show_default=False),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="full (as published) or disjoint (by part, needs parts.csv).")
    ] = "disjoint",
    exemplars: Annotated[
        int, typer.Option(min=1, help="Labelled parts of each class; one at least is left to find.")
    ] = 5,
    draws: Annotated[int, typer.Option(min=1, help="Draws of exemplars in all.")] = 20,
    rate: Annotated[float, typer.Option(help="False-alarm rate asked for when training.")] = 0.05,
    redraws: Annotated[
        int,
        typer.Option(min=0, help="Draw the normals that train anew by part so often; 0: as given."),
    ] = 0,
    leave_out_class: Annotated[
        bool,
        typer.Option("--leave-out-class", help="Teach all classes but one, and measure that one."),
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Made-up images, one draw, for CI.")
    ] = False,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Teach an expert by draws of exemplars, and measure it on parts that it never saw.

    Every figure stands beside that of the same expert untaught. Thresholds are the artifact's own.
    """
    from lab.benchmarks.teaching import TeachingOptions, measure_teaching
    from lab.datasets.folders import load_dataset
    from lab.datasets.made_up import cheaply
    from serving.experts.training import TrainOptions

    chosen = read_options(TeachingMore, more)
    options = TeachingOptions(exemplars, draws, redraws, leave_out_class, chosen.seed)
    training = TrainOptions(false_alarm_rate=rate, threads=chosen.threads)
    data = load_dataset(folder_or_smoke(dataset, smoke), protocol)
    if smoke:
        training = cheaply(training)
        options = TeachingOptions(2, 1, 0, leave_out_class, chosen.seed, rounds=1)
    with stage_bars() as report:
        found = measure_teaching(data, training, options, report)
    print_found(found, _shown(found), as_json)


def _shown(found: dict[str, Any]) -> Iterator[RenderableType]:
    states = ("untaught", "taught")
    mean = found["mean"]
    rows = [
        [name.replace("_", " ")]
        + [f"{mean[s][name]['mean']:.3f}" for s in states]
        + ["{low:.3f} to {high:.3f}".format(**mean["taught"][name])]
        for name in ("auroc", "found", "false_alarms")
    ]
    rows += [
        [f"found: {name}", *(f"{mean[s]['by_class'][name]:.3f}" for s in states), ""]
        for name in mean["taught"]["by_class"]
    ]
    yield table_of(("mean over draws", *states, "taught, lowest to highest"), rows)
    both = ("found", "false_alarms")
    rates = (r for r in mean["taught"]["by_rate"] if r in mean["untaught"]["by_rate"])
    yield table_of(
        ("rate asked", *(f"{n.replace('_', ' ')}, {s}" for s in states for n in both)),
        [[r, *(f"{mean[s]['by_rate'][r][n]:.3f}" for s in states for n in both)] for r in rates],
    )
    if found["left_out"]:
        names = ("found_untaught", "found_taught", "auroc_untaught", "auroc_taught")
        yield table_of(
            ("class left out", *(n.replace("_", " ") for n in names)),
            [[c, *(f"{own[n]:.3f}" for n in names)] for c, own in found["left_out"].items()],
        )
    cost = found["cost"]
    yield (
        f"{len(found['draws'])} draws on {found['splits']} training sets, "
        f"{found['asked_rate']:.0%} asked; a frame takes {cost['untaught_ms']:.1f} ms of CPU "
        f"untaught, {cost['added_ms']:+.1f} ms taught"
    )
