"""``andon benchmark history``: questions to years of history, and recording into it."""

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table

MOST_BEHIND_S = 5.0
"""Recording at a rate keeps up when it is never further behind than this."""


def history(
    parts: Annotated[int, typer.Option(min=0, help="Parts in the database.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Times each question is asked.")] = 5,
    sustain: Annotated[
        float, typer.Option(min=0, help="Seconds of writing 1,000 decisions/s without Kafka.")
    ] = 0.0,
    record: Annotated[
        int | None, typer.Option(min=0, help="Decisions/s through Kafka; 0: as fast as it goes.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long, with --record.")] = 600.0,
    broker: Annotated[
        Literal["embedded", "kafka"], typer.Option(help="In memory, or Apache Kafka.")
    ] = "embedded",
    folder: Annotated[
        Path | None, typer.Option(help="Where the database is made and removed again.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it in --folder; a later run goes on with it.")
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Few parts, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Statistics, Pareto, views and pages over many parts; exit 1 for false facts.

    A million parts take 3 GB of disk; the disk is measured first. Times are medians on this
    machine, as loaded as it is. `--keep` in a `--folder` is for ten million: stopped, it goes on
    where it was. With `--record` the role record writes what a made-up plant publishes to Kafka,
    into a stack of its own that holds `--parts` before: exit 1 when it falls over 5 s behind.
    """
    if keep and folder is None:
        raise typer.BadParameter("--keep needs a --folder")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    place = (
        nullcontext(str(folder))
        if keep
        else tempfile.TemporaryDirectory(prefix="andon-", dir=folder)
    )
    with place as scratch:
        if record is not None:
            result = _recorded(record, seconds, parts, broker, Path(scratch))
            title, is_good = f"Recording {record} decisions/s", _keeps_up(result)
        else:
            result = _asked(parts, rounds, sustain, keep, smoke, Path(scratch))
            title, is_good = f"A history of {result['parts']} parts", bool(result["facts_true"])
    print_found(result, [figures_table(result, title)], as_json)
    raise typer.Exit(0 if is_good else 1)


def _asked(
    parts: int, rounds: int, sustain: float, keep: bool, smoke: bool, folder: Path
) -> Mapping[str, float | int | bool | str]:
    from lab.benchmarks.history import HistoryBenchmark, benchmark_history

    options = HistoryBenchmark(parts, rounds, record=0 if keep else 4000, sustain_s=sustain)
    if smoke:
        options = HistoryBenchmark(3000, rounds=1, record=400, pages=17, sustain_s=1.0)
    return asyncio.run(benchmark_history(options, folder, print_aside))


def _recorded(
    rate: int, seconds: float, parts: int, broker: Literal["embedded", "kafka"], folder: Path
) -> Mapping[str, float | int | bool | str]:
    from lab.benchmarks.history_record import RecordBenchmark, benchmark_recording

    options = RecordBenchmark(rate, seconds, parts, broker)
    return asyncio.run(benchmark_recording(options, folder, print_aside))


def _keeps_up(found: Mapping[str, float | int | bool | str]) -> bool:
    is_late = float(found["worst_behind_s"]) > MOST_BEHIND_S
    return not found["twice"] and not (found["rate_per_s"] and is_late)
