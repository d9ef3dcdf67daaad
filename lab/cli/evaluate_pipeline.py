"""``andon evaluate pipeline``: detect, classify and score a whole data set, resumably."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from andon.settings import load_settings
from lab.cli import evaluate_options as o

if TYPE_CHECKING:
    from lab.velm.pipeline_figures import PipelineResult


def pipeline(
    dataset: o.Folder,
    descriptions: o.Descriptions,
    benchmark: o.BenchmarkKind = "auto",
    rules: o.RulesFile = None,
    objects: o.Objects = "",
    classifier: Annotated[
        Literal["prototypes", "velm", "cascade"] | None,
        typer.Option(help="Default: the settings'."),
    ] = None,
    regions: o.Regions = "expert",
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Name every picture, also the normal ones.")
    ] = False,
    protocol: o.Protocol = None,
    shots: Annotated[
        int, typer.Option(min=1, max=64, help="Exemplars per class (prototypes, cascade).")
    ] = 5,
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
    """Run the pipeline over labelled pictures and print the paper's figures.

    Ctrl-C, then the same command: nothing that was answered is asked twice.
    """
    from lab.velm.answers_cache import Cache
    from lab.velm.pipeline import PipelineOptions
    from lab.velm.pipeline_run import evaluate

    settings = load_settings().classifier
    kind = classifier or settings.kind
    errors = Console(stderr=True)
    found, runs = o.open_runs(dataset, descriptions, benchmark, rules, objects, egress)
    o.print_benchmark(found, errors)
    velm = (
        settings.velm
        if protocol is None
        else settings.velm.model_copy(update={"protocol": protocol})
    )
    with (
        o.configured_endpoint(
            kind != "prototypes",
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
            classifier=kind,
            regions=regions,
            gate=not no_gate,
            velm=velm,
            endpoint=asked,
            cascade=settings.cascade,
            shots=shots,
            seed=seed,
            expert=expert,
            false_alarm_rate=false_alarm_rate,
            experts=experts,
        )
        folder = out or cache.parent / "evaluations" / o.run_name(found.name, options)
        result = evaluate(
            runs,
            options,
            kept,
            folder,
            report=report,
            confirm=o.confirm_spending(options, max_cost, yes, errors),
            limit=limit,
            resamples=resamples,
        )
    if as_json:
        typer.echo(json.dumps({"benchmark": found.name, **result.document}))
    else:
        show(result, found.name)
    raise typer.Exit(1 if result.document["unanswered"] else 0)


def show(result: "PipelineResult", title: str) -> None:
    """The figures as people read them."""
    from lab.velm.predictions import FIGURES

    out = Console()
    table = Table(title=f"{title}; percent, the authors' matching")
    for heading in ("object", "images", *FIGURES):
        table.add_column(
            heading.replace("_", " "), justify="left" if heading == "object" else "right"
        )
    for name, scored in result.scores.objects.items():
        table.add_row(name, str(scored.images), *(f"{scored.figures[f]:.2f}" for f in FIGURES))
    table.add_section()
    images = str(sum(s.images for s in result.scores.objects.values()))
    table.add_row("mean", images, *(f"{result.scores.mean[f]:.2f}" for f in FIGURES), style="bold")
    if result.scores.intervals:
        spans = (result.scores.intervals[f] for f in FIGURES)
        table.add_row("95 % interval", "", *(f"{low:.1f}-{high:.1f}" for low, high in spans))
    table.add_row("our matching", "", *(f"{result.ours.mean[f]:.2f}" for f in FIGURES))
    out.print(table)
    for line in lines_of(result.document):
        out.print(line, soft_wrap=True)


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
        found.append("unknown: " + ", ".join(f"{k} {v}" for k, v in document["unknown"].items()))
    for reason, count in document["unanswered"].items():
        found.append(f"NOT ANSWERED: {count} pictures: {reason}; run the same command again")
    found.append(f"files: {document['files']['predictions']} and beside it")
    return found
