"""The trade-off of a false-alarm rate for people: a table, a picture, and the cheapest rate."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from rich.table import Table

from andon.cli.experts import ExpertCommandError
from andon.cli.printing import plain
from policies.authoring.loading import load_policy
from serving.experts.tradeoff import FoundRow, ShareInterval, StopPrices, recommend

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")


def taught_table(rows: Sequence[FoundRow], local: Mapping[float, float]) -> Table:
    """What each rate costs in false alarms and finds of each class, with 95 % intervals."""
    classes = list(rows[0]["classes"])
    table = Table(
        *("--rate", "stands for", "threshold", "false alarms", *classes, "synthetic, untaught"),
        title="found of parts that taught nothing, with 95 % intervals",
        title_justify="left",
    )
    for row in rows:
        table.add_row(
            f"{row['asked_rate']:g}",
            f"{row['rate']:.4f}",
            f"{row['threshold']:.3f}",
            _said(row["false_alarms"]),
            *(_said(row["classes"][name]) for name in classes),
            f"{local[row['asked_rate']]:.0%}" if row["asked_rate"] in local else "",
        )
    return table


def gained_table(rows: Sequence[FoundRow], classes: Mapping[str, Mapping[str, int]]) -> Table:
    """What each rate finds of each class before and after teaching, with 95 % intervals.

    Args:
        rows: of ``trained.taught.at_rates``, on parts that taught nothing.
        classes: photographs and parts of each class that taught.
    """
    table = Table(
        *("class", "photographs", "parts", "--rate", "found before", "found now"),
        title="what the expert finds of parts that taught nothing",
        title_justify="left",
    )
    for name, counts in classes.items():
        for row in rows:
            before, now = row["before"].get(name), row["classes"].get(name)
            if before is not None and now is not None:
                own = (str(counts["photographs"]), str(counts["parts"]))
                shares = (_said(before), _said(now))
                table.add_row(plain(name), *own, f"{row['asked_rate']:g}", *shares)
    return table


def read_prices(policy: Path) -> tuple[StopPrices, str]:
    """The prices of a policy for the choice of a rate, and their currency.

    Raises:
        ExpertCommandError: the policy states no prices, or not what an escape costs.
    """
    prices = load_policy(policy).document.prices
    if prices is None or not prices.escape:
        raise ExpertCommandError(
            f"{policy}: `prices:` with at least `escape` is needed to recommend a rate"
        )
    return (
        StopPrices(prices.escape, prices.false_stop, prices.hold, prices.defect_share),
        prices.currency,
    )


def advice(rows: Sequence[FoundRow], prices: StopPrices, currency: str) -> str:
    """The rate that costs least, in a sentence, with what every other one costs."""
    best, costs = recommend(rows, prices)
    said = ", ".join(f"{rate:g}: {1000 * cost:.2f}" for rate, cost in costs.items())
    return (
        f"cheapest at these prices with {prices.defect_share:.2%} of the parts defective: "
        f"--rate {best:g} ({currency} for 1000 parts by rate: {said})"
    )


def write_rate_chart(rows: Sequence[FoundRow], path: Path, title: str) -> None:
    """An SVG: false alarms and each class found over the rate, with intervals."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = list(rows[0]["classes"])
    found = environment.get_template("rate_chart.svg.j2").render(
        title=title,
        rows=rows,
        classes=[(name, _COLOURS[i % len(_COLOURS)]) for i, name in enumerate(names)],
        x=_across(rows),
        y=lambda share: round(330 - 270 * share, 1),
    )
    path.write_text(found, encoding="utf-8")


def _across(rows: Sequence[FoundRow]) -> Mapping[float, float]:
    """Where each rate stands: evenly, since rates are chosen by their ratio."""
    step = 400 / max(len(rows) - 1, 1)
    return {row["asked_rate"]: round(90 + step * i, 1) for i, row in enumerate(rows)}


def _said(found: ShareInterval) -> str:
    return f"{found['share']:.0%} ({found['low']:.0%} to {found['high']:.0%})"
