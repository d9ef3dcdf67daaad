"""``andon history gauge``: would the line say the same again, and is it right?"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from andon.cli.history.asking import ask, moment, usage_errors
from andon.cli.options import Json
from andon.cli.printing import table_of_rows
from history.errors import BadQueryError
from history.golden import GoldenRun
from history.text import visible
from policies.review.agreement import Agreement, Appraisal, Trial, appraise
from streams.tables import TableError, read_table

ACCEPTED = ("pass", "good", "accept", "ok", "normal", "1")
REJECTED = ("rework", "scrap", "hold", "bad", "reject", "nok", "defect", "0")
_AIAG = "AIAG's guide: effectiveness 90 %, missed 2 %, false alarms 5 %; kappa .75 good, .4 poor"


def gauge(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV with part, verdict, reference and perhaps appraiser."),
    ] = None,
    since: Annotated[
        str, typer.Option(help="Golden parts run from: 30d, 2h, 2026-11-23 (UTC), ISO time.")
    ] = "30d",
    until: Annotated[str | None, typer.Option(help="Up to, exclusive; the same forms.")] = None,
    product: Annotated[str | None, typer.Option(help="Product id.")] = None,
    as_json: Json = False,
) -> None:
    """Attribute agreement of the line over repeated parts: repeatability, effectiveness, kappa.

    Without a table the runs of golden parts are read, each station an appraiser. In a table every
    row is one run: verdict and reference are pass, good, ok ... or rework, scrap, bad ...; the
    reference may be empty.
    """
    with usage_errors():
        if table is not None:
            found = appraise(tuple(_rows(table)))
        else:
            low = moment(since)
            high = moment(until) if until else datetime.now(UTC)
            runs = ask(lambda history: history.golden_runs(low, high))
            wanted = [run for run in runs if product in (None, run.product_id)]
            found = appraise([_trial(run) for run in wanted])
    if as_json:
        typer.echo(json.dumps({"appraisers": [asdict(one) for one in found]}))
    else:
        _print(found)


def _trial(run: GoldenRun) -> Trial:
    part = f"{run.product_id}/{run.part_id}"
    station = f"{run.line}/{run.station}"
    return Trial(part, run.action == "pass", "pass" in run.expected, station)


def _rows(table: Path) -> Iterator[Trial]:
    try:
        found = read_table(table, "part", "verdict", "reference")
    except TableError as error:
        raise BadQueryError(str(error)) from None
    for row in found.rows:
        at, reference = found.at(row), row["reference"]
        yield Trial(
            row["part"],
            _is_accepted(row["verdict"], at),
            _is_accepted(reference, at) if reference else None,
            row.values.get("appraiser") or "line",
        )


def _is_accepted(words: str, at: str) -> bool:
    word = words.strip().lower()
    if word not in (*ACCEPTED, *REJECTED):
        known = ", ".join((*ACCEPTED, *REJECTED))
        raise BadQueryError(f"{at}: {visible(words)!r} is not among {known}")
    return word in ACCEPTED


def _print(found: tuple[Appraisal, ...]) -> None:
    console = Console()
    if not found:
        console.print("no runs: list `golden:` parts in a policy and run them, or give a table")
        return
    titles = ("appraiser", "runs", "agrees with itself", "kappa", "agrees with reference", "kappa")
    rows = [
        (
            visible(one.appraiser).replace("[", r"\["),
            str(one.trials),
            *_cells(one.repeated),
            *_cells(one.reference),
            _rate(one.missed, one.of_bad),
            _rate(one.false_alarms, one.of_good),
        )
        for one in found
    ]
    console.print(table_of_rows((*titles, "missed", "false alarms"), rows))
    console.print(f"intervals of 95 %, by part. {_AIAG}", highlight=False)


def _cells(found: Agreement) -> tuple[str, str]:
    if found.share is None:
        return "-", "-"
    share = f"{found.agreed}/{found.parts} {found.share:.0%} ({found.low:.0%}-{found.high:.0%})"
    kappa = found.kappa
    if kappa is None:
        return share, "-"
    if kappa.low is None or kappa.high is None:
        return share, f"{kappa.value:.2f}"
    return share, f"{kappa.value:.2f} ({kappa.low:.2f}-{kappa.high:.2f})"


def _rate(count: int, of: int) -> str:
    return f"{count}/{of} {count / of:.1%}" if of else "-"
