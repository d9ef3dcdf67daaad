"""``andon benchmark latency``: where the time from a part's trigger to its result goes."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from andon.stack.local import BrokerKind
    from lab.benchmarks.latency import BrokerLatency

_BAR = 24
"""Columns of the longest bar."""


def latency(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians are shown.")] = 5,
    seconds: Annotated[float, typer.Option(min=2, help="Length of a round.")] = 15.0,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Parts/s; without it, half of what the line takes."),
    ] = None,
    anomalous: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the played parts that are not good.")
    ] = 0.1,
    broker: Annotated[
        Literal["embedded", "kafka", "both"],
        typer.Option(help="Apache Kafka needs Java and Maven."),
    ] = "embedded",
    smoke: Annotated[bool, typer.Option("--smoke", help="One short round, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """The stages of a part, from its trigger at the controller to the acknowledgement.

    The line runs at half load with the shipped expert. Parts that the expert decides and parts
    that are named are shown apart. A stage begins where the one before it ends, so that the means
    add up; the quantiles do not. Exit code 1 where no part could be followed.
    """
    from lab.benchmarks.latency import LatencyBenchmark, benchmark_latency

    options = LatencyBenchmark(rounds, seconds, rate, anomalous)
    if smoke:
        options = replace(options, rounds=1, seconds=3.0, rate=rate or 10.0, train=60)
    brokers: tuple[BrokerKind, ...] = ("embedded", "kafka") if broker == "both" else (broker,)
    found = benchmark_latency(options, brokers, print_aside)
    print_found({name: asdict(one) for name, one in found.items()}, _tables(found), as_json)
    followed = (one.parts > one.not_followed for one in found.values())
    raise typer.Exit(0 if all(followed) else 1)


def _tables(found: "Mapping[str, BrokerLatency]") -> list[Table | str]:
    shown: list[Table | str] = []
    for broker, over in found.items():
        load = ", ".join(map(str, over.load_before))
        shown.append(
            f"{broker}: {over.parts_per_s} parts/s, {over.parts} parts, {over.not_followed} not "
            f"followed; load of the host before each round: {load}"
        )
        rounds = len(over.load_before)
        for name, kind in over.kinds.items():
            if kind.stages:
                title = f"{broker}: {kind.parts} parts {name}, ms, medians of {rounds} round(s)"
                shown.append(_table(kind.stages, title))
    return shown


def _table(stages: Mapping[str, Mapping[str, float]], title: str) -> Table:
    longest = max(max(values["mean_ms"] for values in list(stages.values())[:-2]), 1e-9)
    rows = []
    for name, values in stages.items():
        bar = "█" * min(round(_BAR * max(values["mean_ms"], 0) / longest), _BAR)
        cells = (f"{value:.1f}" for value in values.values())
        rows.append((name, "" if name.startswith("trigger to") else bar, *cells))
    return table_of(("stage", "mean", "p50", "p95", "p99", "mean"), rows, title, left=2)
