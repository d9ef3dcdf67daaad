"""``andon demo``: the whole line once, over photographs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from andon.cli.options import Json
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.demo.summary import PartStory, Summary

app = typer.Typer()
ACTIONS = ("pass", "rework", "scrap", "hold")
MOST_ESCAPED = 10
"""Defects that passed, named on the last screen; the CSV has them all."""


@app.command()
def demo(
    images: Annotated[
        Path | None,
        typer.Option(help="Folder in MVTec-AD layout; without it, the textile set is played."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy file; without it, every class of --images is held."),
    ] = None,
    parts: Annotated[int | None, typer.Option(min=1, help="Most parts to play.")] = None,
    takt: Annotated[float, typer.Option(min=0.02, max=60, help="Seconds between parts.")] = 0.15,
    window: Annotated[
        float, typer.Option(min=0.3, max=600, help="Result window of a part, seconds.")
    ] = 3.0,
    classifier: Annotated[
        str, typer.Option(help="prototypes, velm or cascade.", show_default=True)
    ] = "prototypes",
    untaught: Annotated[
        list[str] | None, typer.Option(help="A class that the classifier is not taught.")
    ] = None,
    rate: Annotated[
        float,
        typer.Option(min=0.001, max=0.3, help="False alarms asked of the expert, share of good."),
    ] = 0.03,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train though nothing changed.")
    ] = False,
    report: Annotated[
        Path, typer.Option(help="Where the HTML report goes; a CSV with a row per part beside it.")
    ] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Train, start every process of the line, play the parts and say what happened to them.

    Exit code 1 when a part was lost or acted on twice.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lab.demo.run import DemoOptions, run_demo

    if report.suffix.lower() == ".csv":
        raise typer.BadParameter(f"{report} would be the table of parts; name an .html file")
    options = DemoOptions(
        images=images,
        policy=policy,
        parts=parts,
        takt_s=takt,
        window_s=window,
        classifier=classifier,
        untaught=frozenset(untaught or ()),
        rate=rate,
        retrain=retrain,
        report=report,
    )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            say = lambda text: console.print(escape(text), soft_wrap=True)  # noqa: E731
            summary = run_demo(options, say, progress)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(summary.as_json()))
    else:
        show(summary, Console())
    raise typer.Exit(0 if summary.reckoning.balanced else 1)


def show(summary: "Summary", console: Console) -> None:
    """The last screen: what happened to the parts."""
    figures = summary.as_json()
    escapes = {name: sum(found.values()) for name, found in summary.escapes.items()}
    rows = [
        [*cells, f"[red]{escapes[label]}[/]" if escapes.get(label) else "0"]
        for label, cells in zip(summary.confusion, _by_action(summary.confusion), strict=True)
    ]
    headings = ("true class", *ACTIONS, "escaped")
    console.print(table_of(headings, rows, "What happened to the parts"))
    if summary.escaped:
        console.print(_escaped(summary.escaped))
    for title, heading, counted in (
        ("What they were worth", "true severity", summary.severities),
        ("What the line called them", "named", summary.named),
    ):
        if counted:
            console.print(table_of((heading, *ACTIONS), _by_action(counted), title))
    table = Table(show_header=False)
    for key in ("parts", "decided", "acknowledged", "lost", "acted_twice", "late"):
        bad = key in ("lost", "acted_twice") and figures[key]
        table.add_row(
            key.replace("_", " "), f"[red]{figures[key]}[/]" if bad else str(figures[key])
        )
    sources = (f"{name.replace('_', ' ')} {n}" for name, n in figures["by_source"].items() if n)
    table.add_row("decided by", ", ".join(sources))
    for alert in figures["alerts"]:
        table.add_row("[yellow]alert[/]", escape(alert))
    table.add_row("frames/s", str(figures["frames_per_s"]))
    table.add_row("image AUROC", str(figures["auroc"]))
    for stage, ms in summary.latency_ms.items():
        table.add_row(f"{stage.replace('_', ' ')} ms", f"p50 {ms['p50']}, p99 {ms['p99']}")
    console.print(table)
    for line in (*summary.reckoning.lost, *summary.reckoning.acted_twice)[:20]:
        console.print(f"[red]out of balance:[/] {escape(line)}")
    console.print(f"each part, one row: {figures['parts_csv']}", soft_wrap=True)
    console.print(
        f"every part that did not pass, and every defect that did, with its picture: "
        f"{figures['report']}",
        soft_wrap=True,
    )


def _by_action(counted: dict[str, dict[str, int]]) -> list[list[str]]:
    return [
        [escape(label), *(str(counts.get(action, 0)) for action in ACTIONS)]
        for label, counts in counted.items()
    ]


def _escaped(stories: "Sequence[PartStory]") -> Table:
    """The first of the defects that passed, by name."""
    shown = stories[:MOST_ESCAPED]
    count = f"{len(stories)}" if len(shown) == len(stories) else f"{len(shown)} of {len(stories)}"
    rows = []
    for story in shown:
        scores = ("-" if v is None else f"{v:.3g}" for v in (story.score, story.threshold))
        source = story.source.value.replace("_", " ") if story.source else "nobody"
        rows.append([escape(story.part_id), escape(story.true_label), story.named, source, *scores])
    headings = ("part", "true class", "named", "decided by", "score", "threshold")
    return table_of(headings, rows, f"Defects that passed ({count})", left=4)
