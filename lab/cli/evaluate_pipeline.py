"""``andon evaluate pipeline``: detect, classify and score a whole data set, resumably."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from andon.cli.options import Json, taking
from andon.cli.printing import plain, print_found
from lab.cli.evaluate_options import Asked
from lab.cli.evaluate_session import opened_evaluation
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.velm.predictions import Scores


@taking(asked=Asked)
def pipeline(
    asked: Asked,
    classifier: Annotated[
        Literal["prototypes", "velm", "cascade"] | None,
        typer.Option(help="Default: the settings'."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the pipeline over labelled pictures and print the paper's figures.

    Ctrl-C, then the same command: nothing that was answered is asked twice.
    """
    from lab.velm.pipeline_run import evaluate

    with opened_evaluation(asked, classifier) as opened:
        result = evaluate(opened)
    title = f"{opened.name}; percent, the authors' matching"
    body = {"benchmark": opened.name, **result.document}
    table = scores_table(result.scores, result.ours, title)
    print_found(body, [table, *lines_of(result.document)], as_json)
    raise typer.Exit(1 if result.document["unanswered"] else 0)


def scores_table(theirs: "Scores", ours: "Scores", title: str) -> Table:
    """Objects down, figures across; below the means, their intervals and those of our matching."""
    from lab.velm.predictions import FIGURES

    headings = ["object", "images", *(name.replace("_", " ") for name in FIGURES)]
    rows = (
        [plain(name), str(theirs.images[name]), *(f"{figures[f]:.2f}" for f in FIGURES)]
        for name, figures in theirs.objects.items()
    )
    table = table_of(headings, rows, title)
    table.add_section()
    images = str(sum(theirs.images.values()))
    table.add_row("mean", images, *(f"{theirs.mean[f]:.2f}" for f in FIGURES), style="bold")
    if theirs.intervals:
        spans = (theirs.intervals[f] for f in FIGURES)
        table.add_row("95 % interval", "", *(f"{low:.1f}-{high:.1f}" for low, high in spans))
    table.add_row("our matching", "", *(f"{ours.mean[f]:.2f}" for f in FIGURES))
    return table


def lines_of(document: dict[str, Any]) -> list[str]:
    """Gate, escapes, time, money and files, a line each."""
    found = []
    if gate := document["gate"]:
        found.append(
            f"gate: {gate['passed']} pictures passed; false alarms {gate['false_alarm_share']:.1%} "
            f"of the normal ones, {gate['missed_share']:.1%} of the anomalous ones missed"
        )
    escapes = document["escapes"]
    if "gate" in escapes:
        found.append(
            f"escapes: {escapes['gate'] + escapes['classifier']:.1%} of the anomalous pictures end "
            f"as good ({escapes['gate']:.1%} by the gate, {escapes['classifier']:.1%} named normal)"
        )
    if "defects_passed_by_gate" in escapes:
        by_gate = escapes["defects_passed_by_gate"]
        by_classifier = escapes["defects_passed_by_classifier"]
        found.append(
            f"under the policy {by_gate + by_classifier:.1%} of the defects would pass "
            f"({by_gate:.1%} by the gate, {by_classifier:.1%} by the class named)"
        )
    times = {k.replace("_", " "): v for k, v in document["time"].items() if v is not None}
    if times:
        found.append("time: " + ", ".join(f"{k} {v:.1f}" for k, v in times.items()))
    spent = document["spent"]
    if spent["calls"]:
        now = spent["in_this_run"]
        found.append(
            f"spent: {spent['calls']} calls, {spent['tokens_in']:,} tokens in, "
            f"{spent['tokens_out']:,} out, {spent['cost']:.2f} {spent['currency']}; in this run "
            f"{now['calls']} calls, {now['cost']:.2f} {now['currency']}"
        )
    if document["unknown"]:
        said = ", ".join(f"{k} {v}" for k, v in document["unknown"].items())
        found.append(plain(f"unknown: {said}"))
    for reason, count in document["unanswered"].items():
        words = f"NOT ANSWERED: {count} pictures: {reason}; run the same command again"
        found.append(plain(words))
    found.append(plain(f"files: {document['files']['predictions']} and beside it"))
    return found
