"""``andon benchmark faults``: the fault matrix, and seeded schedules of faults."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from andon.cli.options import Json, More, MoreOptions, read_options
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table, table_of

_COLUMNS = ("row", "verdict", "parts", "lost", "twice", "contradictory", "recovery s", "held")
LEG_PARTS = 500
"""A long schedule is judged, and kept by ``--resume``, by so many parts at a time."""


class FaultDetails(MoreOptions):
    """What is asked for rarely."""

    pauses: int = Field(0, ge=0, description="Of each process in the schedule.")
    lasting_s: float = Field(
        4.0, ge=1, le=600, description="How long a disk or clock is at fault, or a process stopped."
    )


def faults(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this row, or a group such as kill; may be given several times."),
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(min=20, help="Parts of each row (100 or more), or of a schedule (10000)."),
    ] = None,
    takt: Annotated[float, typer.Option(min=0.02, help="Seconds between parts.")] = 0.2,
    window: Annotated[float, typer.Option(min=0.3, help="Result window, seconds.")] = 3.0,
    broker: Annotated[
        Literal["embedded", "kafka"],
        typer.Option(help="Over Apache Kafka (needs Java, Maven) brokers are killed too."),
    ] = "embedded",
    brokers: Annotated[
        int, typer.Option(min=1, max=5, help="Of Apache Kafka: with three a leader is killed.")
    ] = 1,
    schedule: Annotated[
        int | None,
        typer.Option(help="Seed of a random schedule, played in place of the rows."),
    ] = None,
    kills: Annotated[int, typer.Option(min=0, help="Of each process in the schedule.")] = 20,
    resume: Annotated[
        Path | None,
        typer.Option(help="Keeps every 500 parts of a schedule; the same again goes on."),
    ] = None,
    more: More = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Few rows or parts, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Faults on the running line, judged by PLC and history; exit code 1 where one broke it.

    A row is played on the running line: processes killed or stopped, disks that fail, clocks that
    are off, broken messages. A schedule draws kills and pauses of every process from its seed, and
    the same seed plays them again; with `--resume` a run that was interrupted goes on.
    """
    from lab.benchmarks.fault_matrix import HOLDS, UNSHOWN, figures_of, play_rows
    from lab.benchmarks.fault_rows import SMOKE, rows
    from lab.benchmarks.faults_schedule import run_schedule
    from lab.benchmarks.line import bench
    from lab.harness.line import LineOptions
    from lab.harness.schedule import legs
    from lab.harness.schedule import schedule as drawn
    from lab.harness.schedule_record import open_record

    chosen = read_options(FaultDetails, more)
    broker = "kafka" if brokers > 1 else broker
    names = list(SMOKE) if smoke and not only else rows_of(only)
    count, each = (500, 1) if smoke else (parts or 10_000, kills)
    record = None
    if schedule is not None:
        planned = drawn(schedule, count, victims(broker), each, chosen.pauses)
        of_run: dict[str, object] = {
            "seed": schedule,
            "parts": count,
            "kills": each,
            "pauses": chosen.pauses,
        }
        of_run |= {"takt_s": takt, "window_s": window, "broker": broker, "brokers": brokers}
        record = open_record(resume, of_run)
    with bench(
        400,
        LineOptions(takt, window),
        print_aside,
        broker,
        replicas=2,
        failing_hosts=schedule is None,
        brokers=brokers,
    ) as running:
        if record is not None:
            print_aside(f"seed {schedule}: {len(planned)} faults in {count} parts")
            run_schedule(
                running.line, running.plan, legs(planned, count, LEG_PARTS), record, print_aside
            )
            result = {"seed": schedule, **record.figures(len(planned))}
            shown = figures_table(result, f"Schedule of seed {schedule}")
        else:
            count = parts or parts_around(chosen.lasting_s, takt)
            lasting = rows(chosen.lasting_s)
            found = list(play_rows(running.line, running.plan, names, count, print_aside, lasting))
            result = figures_of(found)
            cells = [[str(value) for value in one.cells()] for one in found]
            shown = table_of(_COLUMNS, cells, "Faults while the line runs", left=2)
    print_found(result, [shown], as_json)
    # a short run on a busy machine may end before a process is back: that breaks no promise
    fine = (HOLDS, UNSHOWN) if smoke else (HOLDS,)
    raise typer.Exit(0 if result["verdict"] in fine else 1)


def parts_around(lasting_s: float, takt_s: float) -> int:
    """Parts of a row whose fault begins after a third of them, so that many come after its end.

    The controller goes on giving triggers while a gateway is not ready.

    >>> parts_around(4.0, 0.2), parts_around(60.0, 0.3)
    (100, 415)
    """
    return max(100, round(1.5 * (1.25 * lasting_s + 8.0) / takt_s))


def victims(broker: str) -> list[str]:
    """Every process that a schedule kills: the embedded broker's data would end with it."""
    from lab.benchmarks.faults import BROKER, FAULTS

    return [*FAULTS, BROKER] if broker == "kafka" else list(FAULTS)


def rows_of(only: list[str] | None) -> list[str]:
    """The rows that are asked for, by name or group; all without a wish.

    Raises:
        typer.BadParameter: there is no such row.
    """
    from lab.benchmarks.fault_rows import rows

    known = rows()
    wishes = only or list(known)
    groups = {row.group for row in known.values()}
    if unknown := [wish for wish in wishes if wish not in known and wish not in groups]:
        listed = ", ".join([*sorted(groups), *known])
        raise typer.BadParameter(f"{', '.join(unknown)}: rows are {listed}")
    return [name for name, row in known.items() if name in wishes or row.group in wishes]
