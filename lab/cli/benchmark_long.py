"""``andon benchmark stalls`` and ``soak``: loops that stand still, memory that grows."""

from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table


def stalls(
    seconds: Annotated[float, typer.Option(min=2, help="Length of the run.")] = 30.0,
    in_flight: Annotated[int, typer.Option(min=1, help="Most parts without a result.")] = 16,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few seconds, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """How long gateway and workers stand still under load; exit 1 for own work of over 50 ms.

    Each callback of their event loops is timed. Wall time counts what other processes of a busy
    machine took meanwhile; `own` is the CPU time of the loop's thread.
    """
    from lab.benchmarks.stalls import benchmark_stalls

    found = benchmark_stalls(4.0 if smoke else seconds, in_flight, print_aside)
    shown = [figures_table({k: v for k, v in found.items() if k != "processes"}, "Stalls")]
    processes = found["processes"]
    assert isinstance(processes, dict)
    shown += [figures_table(figures, name) for name, figures in processes.items()]
    print_found(found, shown, as_json)
    raise typer.Exit(0 if smoke or not found["over_50_ms_own"] else 1)


def soak(
    hours: Annotated[float, typer.Option(min=0.01, help="Length of the run.")] = 2.0,
    takt: Annotated[float, typer.Option(min=0.1, help="Seconds between frames.")] = 1.0,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A minute, to see that it works; judges nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Frames of over 8 MiB for hours; exit 1 where a process grows by over 8 MiB an hour.

    The slope is Theil and Sen's over the last three quarters of the run: 90 minutes of two hours.
    Objects are removed after two minutes, so that only the processes can grow.
    """
    from lab.benchmarks.soak import benchmark_soak

    length, sample_s = (1 / 60, 2.0) if smoke else (hours, 10.0)
    found = benchmark_soak(length, takt, print_aside, sample_s)
    print_found(found, [figures_table(found, "Soak")], as_json)
    raise typer.Exit(0 if smoke or found["is_within"] else 1)
