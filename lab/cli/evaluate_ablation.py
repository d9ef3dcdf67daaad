"""``andon evaluate ablation``: the paper's Table 5 as one command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from andon.settings import load_settings
from lab.cli import evaluate_options as o

if TYPE_CHECKING:
    from lab.velm.ablation import AblationRow


def ablation(
    dataset: o.Folder,
    descriptions: o.Descriptions,
    benchmark: o.BenchmarkKind = "auto",
    rules: o.RulesFile = None,
    objects: o.Objects = "",
    parts: Annotated[
        str, typer.Option(help="Parts to switch off, of RI, VP, ND, CS, AD.")
    ] = "RI,VP,ND,CS,AD",
    regions: o.Regions = "expert",
    protocol: o.Protocol = None,
    seed: o.Seed = 0,
    experts: o.Experts = None,
    expert: o.ExpertKind = "patchcore",
    false_alarm_rate: o.FalseAlarms = 0.03,
    limit: o.Limit = None,
    endpoint: o.Endpoint = "",
    base_url: o.BaseUrl = "",
    model: o.Model = "",
    api_key_env: o.ApiKeyEnv = "",
    zone: o.ZoneOption = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    twin: o.UseTwin = False,
    egress: o.Egress = None,
    cache: o.CacheFolder = Path(".andon/cache"),
    out: o.Out = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap rounds; 0 is none.")] = 1000,
    max_cost: o.MaxCost = 1.0,
    yes: o.Yes = False,
    as_json: o.Json = False,
) -> None:
    """Table 5 of the paper: the prompt without RI, VP, ND, CS or AD.

    Reference image, visual prompt, normal description, strategy, anomaly descriptions.
    """
    from lab.velm.ablation import ablate
    from lab.velm.ablation import as_json as as_document
    from lab.velm.answers_cache import Cache
    from lab.velm.pipeline import PipelineOptions

    settings = load_settings().classifier
    velm = settings.velm.model_copy(update={"protocol": protocol or settings.velm.protocol})
    errors = Console(stderr=True)
    found, runs = o.open_runs(dataset, descriptions, benchmark, rules, objects, egress)
    o.print_benchmark(found, errors)
    with (
        o.configured_endpoint(
            True,
            name=endpoint,
            base_url=base_url,
            model=model,
            api_key_env=api_key_env,
            zone=zone,
            prices=(price_in, price_out),
            twin=twin,
        ) as asked,
        o.resumable(),
        Cache(cache) as kept,
        o.passing_bars() as report,
    ):
        options = PipelineOptions(
            classifier="velm",
            regions=regions,
            velm=velm,
            endpoint=asked,
            seed=seed,
            expert=expert,
            false_alarm_rate=false_alarm_rate,
            experts=experts,
        )
        folder = out or cache.parent / "evaluations" / o.run_name(found.name, options, "ablation")
        rows = ablate(
            runs,
            options,
            kept,
            folder,
            report=report,
            confirm=o.confirm_spending(options, max_cost, yes, errors),
            parts=[p.strip().upper() for p in parts.split(",") if p.strip()],
            limit=limit,
            resamples=resamples,
        )
    if as_json:
        typer.echo(json.dumps({"benchmark": found.name, **as_document(rows)}))
    else:
        show(rows, found.name, folder)
    unanswered = any(row.result.document["unanswered"] for row in rows)
    raise typer.Exit(1 if unanswered else 0)


def show(rows: "Sequence[AblationRow]", title: str, folder: Path) -> None:
    """Objects down, prompts across, as the paper prints it."""
    out = Console()
    table = Table(title=f"{title}: accuracy in percent")
    table.add_column("object")
    for row in rows:
        table.add_column(row.name if row.difference is None else f"w/o {row.name}", justify="right")
    for name in rows[0].result.scores.objects:
        values = [row.result.scores.objects[name].figures["accuracy"] for row in rows]
        table.add_row(name, *(f"{v:.1f}" for v in values))
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
