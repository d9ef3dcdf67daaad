"""``andon evaluate ablation``: the paper's Table 5 as one command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from andon.cli.options import Json, More, read_options
from lab.cli import evaluate_options as o
from lab.cli.evaluate_session import opened_evaluation
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.velm.ablation import AblationRow


def ablation(
    dataset: o.Folder,
    descriptions: o.Descriptions,
    parts: Annotated[
        str, typer.Option(help="Parts to switch off, of RI, VP, ND, CS, AD.")
    ] = "RI,VP,ND,CS,AD",
    regions: o.Regions = "expert",
    protocol: o.Protocol = None,
    endpoint: o.Endpoint = "",
    model: o.Model = "",
    twin: o.UseTwin = False,
    out: o.Out = None,
    more: More = None,
    yes: o.Yes = False,
    as_json: Json = False,
) -> None:
    """Table 5 of the paper: the prompt without RI, VP, ND, CS or AD.

    Reference image, visual prompt, normal description, strategy, anomaly descriptions.
    """
    from lab.velm.ablation import ablate
    from lab.velm.ablation import as_json as as_document

    with opened_evaluation(
        read_options(o.EvaluationOptions, more),
        dataset,
        descriptions,
        classifier="velm",
        regions=regions,
        protocol=protocol,
        endpoint=endpoint,
        model=model,
        twin=twin,
        out=out,
        yes=yes,
        label="ablation",
    ) as opened:
        rows = ablate(opened, [p.strip().upper() for p in parts.split(",") if p.strip()])
    if as_json:
        typer.echo(json.dumps({"benchmark": opened.name, **as_document(rows)}))
    else:
        show(rows, opened.name, opened.folder)
    unanswered = any(row.result.document["unanswered"] for row in rows)
    raise typer.Exit(1 if unanswered else 0)


def show(rows: "Sequence[AblationRow]", title: str, folder: Path) -> None:
    """Objects down, prompts across, as the paper prints it."""
    out = Console()
    headings = (row.name if row.difference is None else f"w/o {row.name}" for row in rows)
    body = (
        [name, *(f"{row.result.scores.objects[name].figures['accuracy']:.1f}" for row in rows)]
        for name in rows[0].result.scores.objects
    )
    table = table_of(["object", *headings], body, f"{title}: accuracy in percent")
    table.add_section()
    table.add_row("mean", *(f"{r.result.scores.mean['accuracy']:.1f}" for r in rows), style="bold")
    gains = [r.difference for r in rows]
    table.add_row("difference", *("" if g is None else f"{g[0]:+.1f}" for g in gains))
    spans = ("" if g is None else f"{g[1]:+.1f} to {g[2]:+.1f}" for g in gains)
    table.add_row("95 % interval", *spans)
    out.print(table)
    for row in rows:
        for reason, count in row.result.document["unanswered"].items():
            out.print(f"{row.name}: NOT ANSWERED: {count} pictures: {reason}", soft_wrap=True)
    out.print(f"files: {folder}", soft_wrap=True)
