"""``andon evaluate ablation``: the paper's Table 5 as one command."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from andon.cli.options import Json, taking
from andon.cli.printing import plain, print_found
from lab.cli.evaluate_options import Asked
from lab.cli.evaluate_session import opened_evaluation
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.velm.ablation import AblationRow


@taking(asked=Asked)
def ablation(
    asked: Asked,
    parts: Annotated[
        str, typer.Option(help="Parts to switch off, of RI, VP, ND, CS, AD.")
    ] = "RI,VP,ND,CS,AD",
    as_json: Json = False,
) -> None:
    """Table 5 of the paper: the prompt without RI, VP, ND, CS or AD.

    Reference image, visual prompt, normal description, strategy, anomaly descriptions.
    """
    from lab.velm.ablation import ablate
    from lab.velm.ablation import as_json as as_document

    with opened_evaluation(asked, "velm", "ablation") as opened:
        rows = ablate(opened, [p.strip().upper() for p in parts.split(",") if p.strip()])
    body = {"benchmark": opened.name, **as_document(rows)}
    print_found(body, _shown(rows, opened.name, opened.folder), as_json)
    unanswered = any(row.result.document["unanswered"] for row in rows)
    raise typer.Exit(1 if unanswered else 0)


def _shown(rows: "Sequence[AblationRow]", title: str, folder: Path) -> Iterator[RenderableType]:
    """Objects down, prompts across, as the paper prints it."""
    headings = (row.name if row.difference is None else f"w/o {row.name}" for row in rows)
    body = (
        [plain(name), *(f"{row.result.scores.objects[name]['accuracy']:.1f}" for row in rows)]
        for name in rows[0].result.scores.objects
    )
    table = table_of(["object", *headings], body, f"{title}: accuracy in percent")
    table.add_section()
    table.add_row("mean", *(f"{r.result.scores.mean['accuracy']:.1f}" for r in rows), style="bold")
    gains = [r.difference for r in rows]
    table.add_row("difference", *("" if g is None else f"{g[0]:+.1f}" for g in gains))
    spans = ("" if g is None else f"{g[1]:+.1f} to {g[2]:+.1f}" for g in gains)
    table.add_row("95 % interval", *spans)
    yield table
    for row in rows:
        for reason, count in row.result.document["unanswered"].items():
            yield plain(f"{row.name}: NOT ANSWERED: {count} pictures: {reason}")
    yield plain(f"files: {folder}")
