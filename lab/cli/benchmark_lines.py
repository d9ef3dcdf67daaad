"""``andon benchmark lines``: many lines on one stack."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.benchmarks.lines_figures import LinesFigures


def lines(
    count: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Numbers of lines; repeatable. Without it 1, 8 and 64."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Parts/s of all lines together; without it, half of what one takes."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, help="Length of a round.")] = 30.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians are shown.")] = 3,
    broker: Annotated[
        Literal["embedded", "kafka"], typer.Option(help="Apache Kafka needs Java and Maven.")
    ] = "embedded",
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of a topic; without it, one for each line.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Workers of each role.")] = 1,
    replicas: Annotated[
        int, typer.Option(min=0, help="Experts in Ray Serve; 0: stand-ins in the workers.")
    ] = 0,
    side: Annotated[
        int | None,
        typer.Option(min=64, max=8000, help="Pixels of a picture's side; without it 250."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Two lines, short rounds, for CI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """CPU per part by the number of lines, at the same parts/s; and what one line does to another.

    Idle CPU, that of the same gateways without parts, is taken off and shown apart. Then one line
    comes with five times its rate, and one line's controller goes away: the p99 of the others is
    held against that of before. Exit code 1 where a part got no result, where a part at the most
    lines costs over 1.15 times that at the fewest, or where another line's p99 rises by over a
    fifth; with --smoke only where a part got no result.
    """
    from lab.benchmarks.lines import LinesBenchmark, benchmark_lines

    logging.getLogger("asyncua").setLevel(logging.ERROR)
    options = LinesBenchmark(
        tuple(sorted(count or (1, 8, 64))),
        rate,
        seconds,
        rounds,
        broker,
        partitions,
        workers,
        replicas,
        side,
    )
    if smoke:
        options = replace(options, lines=(2,), rate=8.0, seconds=1.0, rounds=1)
    found = benchmark_lines(options, print_aside)
    print_found(asdict(found) | {"holds": found.holds}, _tables(found), as_json)
    lost = any(one.without_result for one in found.counts)
    raise typer.Exit(1 if lost or not (found.holds or smoke) else 0)


def _tables(found: "LinesFigures") -> list[Table | str]:
    counts = found.counts
    headings = ("part of the stack", *(f"{one.lines} lines" for one in counts))
    assert found.picture is not None
    size = "{megapixels} megapixels, {size_kb} kB, {decode_ms} ms of CPU to decode and shrink"
    return [
        f"a picture: {size.format(**asdict(found.picture))}",
        f"{found.parts_per_s} parts/s of all lines together; a part at the most lines costs "
        f"{found.cost_ratio} times that at the fewest",
        _by_part("CPU per part, ms, idle CPU taken off", headings, [o.cpu_ms for o in counts]),
        _by_part("idle CPU, % of a core", headings, [o.idle_cpu_percent for o in counts]),
        _by_part("memory, MiB", headings, [o.memory_mib for o in counts]),
        table_of(
            (
                "lines",
                "parts",
                "without result",
                "p50 ms",
                "p99 ms",
                "p99 of others",
                "burst",
                "stop",
            ),
            [
                (
                    *(str(value) for value in (one.lines, one.parts, one.without_result)),
                    *(str(value) for value in (one.p50_ms, one.p99_ms)),
                    str(one.burst.get("steady_ms", "-")),
                    *(f"x {x['ratio']}" if x else "-" for x in (one.burst, one.stop)),
                )
                for one in counts
            ],
            "from the trigger to the result, and what one line does to the others",
        ),
    ]


def _by_part(title: str, headings: tuple[str, ...], found: list[Mapping[str, float]]) -> Table:
    names = sorted({name for one in found for name in one})
    rows = [(name, *(f"{one.get(name, 0.0):.1f}" for one in found)) for name in names]
    total = ("all", *(f"{sum(one.values()):.1f}" for one in found))
    return table_of(headings, [*rows, total], title)
