"""``andon demo``: the whole line once, over photographs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from andon.cli.options import Json, More, MoreOptions, listed, read_options, writable_file
from andon.cli.printing import print_found, progress
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.demo.console import DemoConsole
    from lab.demo.summary import PartStory, Summary
    from lab.demo.verdicts import Verdicts
    from lab.demo.watch import DashboardFigures

app = typer.Typer(add_completion=False)
ACTIONS = ("pass", "rework", "scrap", "hold")
OPEN = ".venv/bin/andon demo --console"
MOST_ESCAPED = 10
"""Defects that passed, named on the last screen; the CSV has them all."""


class DemoDetails(MoreOptions):
    """Options of ``demo`` that are given by ``--set``."""

    seed: int = Field(7, description="Draws the parts that teach and the order of the others.")
    shots: int = Field(
        1, ge=1, le=16, description="Photographs of each part: one as it is, the others good."
    )
    retrain: bool = Field(False, description="Train though nothing changed.")
    prometheus: bool = Field(
        False,
        description="Let a Prometheus watch every process, and tell what the dashboards lack.",
    )
    beside: bool = Field(
        False,
        description="Also decide the same parts without teaching, and repeat the line's decisions "
        "in one process.",
    )


@app.command(epilog=listed(DemoDetails))
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
        Literal["prototypes", "velm", "cascade"], typer.Option(help="What names anomalies.")
    ] = "prototypes",
    untaught: Annotated[
        list[str] | None, typer.Option(help="A class that the classifier is not taught.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.3,
            help="Share of good parts that may be stopped, in place of the policy's.",
        ),
    ] = None,
    console: Annotated[
        bool, typer.Option("--console", help="Open the console, and keep it open until Ctrl-C.")
    ] = False,
    report: Annotated[
        Path, typer.Option(help="Where the HTML report goes; a CSV with a row per part beside it.")
    ] = Path("report.html"),
    more: More = None,
    as_json: Json = False,
) -> None:
    """Train, start every process of the line, play the parts and say what happened to them.

    No part of the test trains, as far as `parts.csv` tells the parts. Exit code 1 when a part was
    lost or acted on twice, or where a picture of the dashboards has no data.
    """
    from lab.demo.run import DemoOptions, run_demo

    if report.suffix.lower() == ".csv":
        raise typer.BadParameter(f"{report} would be the table of parts; name an .html file")
    writable_file(report, "--report")
    options = DemoOptions(
        images=images,
        policy=policy,
        parts=parts,
        takt_s=takt,
        window_s=window,
        classifier=classifier,
        untaught=frozenset(untaught or ()),
        rate=rate,
        console=console,
        report=report,
        **read_options(DemoDetails, more).model_dump(),
    )
    try:
        with progress(transient=False) as bars:

            def say(text: str) -> None:
                bars.console.print(escape(text), soft_wrap=True, highlight=False)

            def finished(summary: "Summary", console: "DemoConsole | None") -> None:
                bars.stop()
                print_found(summary.as_json(), shown(summary, console is not None), as_json)
                if console is not None:
                    say(f"the console stays open until Ctrl-C: {console.told()}")
                    console.wait()

            summary = run_demo(options, say, bars, finished)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is left running", err=True)
        raise typer.Exit(130) from None
    lacks = summary.extra.get("dashboards", {}).get("unanswered", [])
    raise typer.Exit(0 if summary.balance.balanced and not lacks else 1)


def shown(summary: "Summary", is_open: bool = False) -> Iterator[RenderableType]:
    """The last screen: what happened to the parts, and unless the console is open, how to."""
    figures = summary.as_json()
    escapes = {name: sum(found.values()) for name, found in summary.escapes.items()}
    rows = [
        [*cells, f"[red]{escapes[label]}[/]" if escapes.get(label) else "0"]
        for label, cells in zip(summary.confusion, _by_action(summary.confusion), strict=True)
    ]
    headings = ("true class", *ACTIONS, "escaped")
    yield table_of(headings, rows, "What happened to the parts")
    yield verdicts_table({"the line": summary.verdicts, **summary.beside})
    if summary.escaped:
        yield _escaped(summary.escaped)
    for title, heading, counted in (
        ("What they were worth", "true severity", summary.severities),
        ("What the line called them", "named", summary.named),
    ):
        if counted:
            yield table_of((heading, *ACTIONS), _by_action(counted), title)
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
    for cells in _dashboards(figures.get("dashboards")):
        table.add_row(*cells)
    if "repeated_offline" in figures:
        table.add_row("repeated offline", f"{figures['repeated_offline']} of {figures['parts']}")
    table.add_row("frames/s", str(figures["frames_per_s"]))
    table.add_row("image AUROC", str(figures["auroc"]))
    for stage, ms in summary.latency_ms.items():
        table.add_row(f"{stage.replace('_', ' ')} ms", f"p50 {ms['p50']}, p99 {ms['p99']}")
    yield table
    for line in (*summary.balance.lost, *summary.balance.acted_twice)[:20]:
        yield f"[red]out of balance:[/] {escape(line)}"
    yield f"each part, one row: {figures['parts_csv']}"
    yield (
        f"every part that did not pass, and every defect that did, with its picture: "
        f"{figures['report']}"
    )
    if not is_open:
        yield f"a run like it in a browser, live and afterwards: [bold]{OPEN}[/]"


def _dashboards(watched: "DashboardFigures | None") -> Iterator[tuple[str, str]]:
    """What a Prometheus saw, if one looked on."""
    if watched is None:
        return
    asked, lacks = watched["asked"], watched["unanswered"]
    yield "dashboards", f"{asked - len(lacks)} of {asked} questions have data"
    for question in lacks:
        yield "[red]no data[/]", escape(question)
    yield "alerts in Prometheus", ", ".join(watched["alerts"]) or "none"


def verdicts_table(by_name: "Mapping[str, Verdicts]") -> Table:
    """Defects that pass and good parts that do not, with 95 % intervals by part."""
    rows = [
        [escape(name), str(found.defects_passed), str(found.good_stopped)]
        for name, found in by_name.items()
    ]
    headings = ("", "defects that pass", "good parts that do not")
    return table_of(headings, rows, "By the policy's severity; 95 % intervals by part")


def by_class_table(by_name: "Mapping[str, Verdicts]") -> Table:
    """Defects that pass, class by class."""
    classes = sorted({label for found in by_name.values() for label in found.passed_by_class})
    rows = [
        [escape(label), *(str(found.passed_by_class[label]) for found in by_name.values())]
        for label in classes
    ]
    return table_of(("true class", *by_name), rows, "Defects that pass, by class")


def at_rates_table(by_rate: "Mapping[float, Mapping[str, Verdicts]]") -> Table:
    """Both shares at each stop rate, for a process engineer to choose from."""
    names = list(next(iter(by_rate.values())))
    rows = [
        [
            f"{rate:g}",
            *(
                " / ".join(
                    "-" if share.value is None else f"{share.value:.1%}"
                    for share in (found[name].defects_passed, found[name].good_stopped)
                )
                for name in names
            ),
        ]
        for rate, found in by_rate.items()
    ]
    title = "Defects that pass / good parts that do not, by stop rate"
    return table_of(("stop rate", *names), rows, title)


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
