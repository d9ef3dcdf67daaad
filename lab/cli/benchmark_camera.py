"""``andon benchmark camera``: no picture is older than its trigger."""

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from andon.cli.options import Json
from andon.cli.printing import print_found, table_of_rows

_COLUMNS = (
    "source", "pause_s", "triggers", "failed", "stale",
    "exposed_after_ms_min", "exposed_after_ms_p50", "capture_ms_p50", "capture_ms_max",
)  # fmt: skip


def camera(
    triggers: Annotated[int, typer.Option(min=1, help="Of each pause.")] = 200,
    pauses: Annotated[
        str, typer.Option(help="Seconds between triggers, separated by commas.")
    ] = "0.2,2,20",
    fps: Annotated[float, typer.Option(min=1, max=100, help="Of the camera.")] = 25.0,
    delay_ms: Annotated[
        float, typer.Option(min=0, max=180, help="Exposure to its first byte, milliseconds.")
    ] = 80.0,
    smoke: Annotated[bool, typer.Option("--smoke", help="Few triggers, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Pictures of a network camera that were exposed before their trigger; exit 1 for any.

    The camera is the laboratory's: it paints the time of each exposure into its picture. Then it
    stalls, and the time to the gateway's fault is measured (exit 1 for over a second).
    """
    from lab.benchmarks.camera import CameraBenchmark, benchmark_camera

    try:
        chosen = tuple(float(pause) for pause in pauses.split(","))
    except ValueError:
        raise typer.BadParameter(f"--pauses {pauses}: write seconds, such as 0.2,2") from None
    options = CameraBenchmark(triggers, chosen, fps, delay_ms)
    if smoke:
        options = replace(options, triggers=5, pauses_s=(0.2, 1.0))
    say = partial(Console(stderr=True).print, soft_wrap=True)
    result = benchmark_camera(options, say)
    rows = result["rows"]
    assert isinstance(rows, list)
    cells = ([str(row[name]) for name in _COLUMNS] for row in rows)
    stall = result["stall_fault_s"]
    assert isinstance(stall, float)
    said = f"fault of a stalled camera after {stall:g} s"
    print_found(result, [table_of_rows(_COLUMNS, cells), said], as_json)
    in_time = smoke or (not result["failed"] and stall <= 1)
    raise typer.Exit(0 if not result["stale"] and stall >= 0 and in_time else 1)
