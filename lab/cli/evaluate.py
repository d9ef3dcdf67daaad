"""``andon evaluate``: the paper's benchmark from files, and pipelines over datasets."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from andon.cli.options import Json, listed
from andon.cli.printing import plain, print_found
from lab.cli.evaluate_ablation import ablation
from lab.cli.evaluate_certify import certify
from lab.cli.evaluate_fewshot import fewshot
from lab.cli.evaluate_options import EvaluationOptions
from lab.cli.evaluate_pipeline import pipeline, scores_table
from lab.cli.tables import table_of

app = typer.Typer(no_args_is_help=True, add_completion=False)
for _command in (pipeline, ablation):
    app.command(epilog=listed(EvaluationOptions))(_command)
app.command()(fewshot)
app.command()(certify)
Predictions = Annotated[
    Path,
    typer.Argument(help='JSON: {"<object>_<class>_<nnn>": "<answer>"}, "good" where passed.'),
]
Descriptions = Annotated[
    Path,
    typer.Option(help="JSON: object -> class folder -> [display name, description]."),
]


@app.command()
def predictions(
    file: Predictions,
    descriptions: Descriptions,
    as_json: Json = False,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap rounds; 0 is none.")] = 1000,
) -> None:
    """Score named answers: accuracy, macro F1, kappa, equation (1), anomalous images alone.

    This checks the metrics, not a classifier: the answers are whoever's made the file.
    """
    from lab.velm.predictions import authors_matching, our_matching, read_answers, score

    warned: list[str] = []
    theirs = score(read_answers(file, descriptions, authors_matching, warned.append), resamples)
    ours = score(read_answers(file, descriptions, our_matching))
    title = "The authors' matching (case folded, nothing else); percent"
    explained = (
        "accuracy: share of images, `good` a class, averaged over objects (the paper's table 2); "
        "jaccard: TP/(TP+FP+FN), the paper's equation (1) as printed; accuracy anomalous: without "
        "the good images."
    )
    body = {**theirs.as_json(), "mean_our_matching": ours.mean, "warnings": warned}
    print_found(body, [scores_table(theirs, ours, title), explained, *_warnings(warned)], as_json)


@app.command()
def severity(file: Predictions, descriptions: Descriptions, as_json: Json = False) -> None:
    """Table 4 of the paper: normal, negligible or defect, over all its 30 % designations.

    A full stop behind a class makes no other severity of it: names match as the classifier
    matches them. The authors' matching (case alone) is printed beside it.
    """
    from lab.velm.predictions import authors_matching, our_matching, read_answers
    from lab.velm.severity import score_severity

    ours = score_severity(read_answers(file, descriptions, our_matching))
    warned: list[str] = []
    theirs = score_severity(read_answers(file, descriptions, authors_matching, warned.append))
    gate, classifier = ours.escapes["gate"], ours.escapes["classifier"]
    escapes = (
        f"escapes: {gate + classifier:.2f} % of the defects would pass: {gate:.2f} % because "
        f"the gate called them good, {classifier:.2f} % because they were named negligible"
    )
    body = {**asdict(ours), "mean_authors_matching": theirs.mean, "warnings": warned}
    print_found(body, [_severity_table(ours, theirs), escapes, *_warnings(warned)], as_json)


def _warnings(said: Iterable[str]) -> Iterator[str]:
    return (f"[yellow]warning:[/] {plain(sentence)}" for sentence in said)


def _severity_table(ours: Any, theirs: Any) -> Table:
    table = table_of(
        ("object", "normal", "negligible", "defect"),
        (
            [plain(name), *(f"{v:.2f}" for v in shares.values())]
            for name, shares in ours.objects.items()
        ),
        "Share of each severity's images answered with that severity; percent",
    )
    table.add_section()
    table.add_row("exact mean", *(f"{v:.2f}" for v in ours.mean.values()), style="bold")
    spans = (f"{s['low']:.1f}-{s['high']:.1f}" for s in ours.five_seed_means.values())
    table.add_row("five-seed means, 95 %", *spans)
    table.add_row("exact mean, authors' matching", *(f"{v:.2f}" for v in theirs.mean.values()))
    return table
