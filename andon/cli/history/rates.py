"""``andon history rates``: the three rates of quality with their intervals, as on the console."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from andon.cli.history.asking import ask
from andon.cli.options import Json
from andon.cli.printing import print_found, table_of_rows
from andon.settings import load_settings
from console.quality_rates import (
    MOST,
    NAMES,
    QualityRates,
    ShownRates,
    ShownShare,
    SpanRates,
    quality_rates,
)
from history.filters import FrameFilter
from history.queries import History
from history.rates import RatesBy, RatesEvery, RatesQuestion, read_rate_counts
from history.text import visible

_TITLES = ("parts", "stopped", "first pass", "false alarms", "escapes")


def rates(
    wanted: FrameFilter,
    by: Annotated[RatesBy, typer.Option(help="What tells the parts apart.")] = RatesBy.LINE,
    every: Annotated[RatesEvery, typer.Option(help="Length of a span.")] = RatesEvery.DAY,
    as_json: Json = False,
) -> None:
    """First-pass yield, false alarms and escapes with 95 % intervals, by name and over time.

    False alarms are of the stopped parts that were reviewed, escapes of the blind audits. Days and
    shifts are the plant's.
    """
    if wanted.passed is not None:
        raise typer.BadParameter(
            "rates are of what passed and of what was stopped: leave it out",
            param_hint="--passed/--not-passed",
        )
    plant = load_settings().plant
    if RatesBy.SHIFT in (by, every) and not plant.shifts:
        raise typer.BadParameter("no shifts: ANDON_PLANT__SHIFTS names them", param_hint="shift")
    asked = RatesQuestion(wanted, by, every, plant)
    names = MOST if as_json else NAMES

    async def reckoned(history: History) -> QualityRates:
        counts = await read_rate_counts(history, asked)
        return await asyncio.to_thread(quality_rates, asked, counts, names)

    found = ask(reckoned)
    print_found(found.model_dump(mode="json"), _shown(found), as_json)


def _shown(found: QualityRates) -> Iterator[RenderableType]:
    if not found.total.parts:
        yield "no parts"
        return
    rows = [(visible(row.name) or "-", *_cells(row.rates)) for row in found.rows]
    yield table_of_rows((found.by, *_TITLES), [("all", *_cells(found.total)), *rows])
    if found.names > len(found.rows):
        yield f"{len(found.rows)} of {found.names} names; --json has more"
    spans = [(_name(span), *_cells(span.rates)) for span in found.spans]
    yield table_of_rows((f"{found.every}, {found.time_zone}", *_TITLES), spans)
    if found.total.not_audited:
        yield f"passed where nothing is drawn for audits: {found.total.not_audited}, in no escapes"


def _name(span: SpanRates) -> str:
    return f"{span.day} {visible(span.shift)}".strip()


def _cells(rates: ShownRates) -> tuple[str, ...]:
    shares = (rates.first_pass, rates.false_alarms, rates.escapes)
    return (str(rates.parts), str(rates.stopped), *map(_share, shares))


def _share(share: ShownShare) -> str:
    """A rate with its interval and what it stands on.

    >>> _share(ShownShare(count=1, of=4, rate=0.25, low=0.05, high=0.7))
    '25.0% (5.0 to 70.0) of 4'
    """
    if share.rate is None:
        return "-"
    return f"{share.rate:.1%} ({100 * share.low:.1f} to {100 * share.high:.1f}) of {share.of}"
