"""``andon benchmark camera``: no picture is older than its trigger."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found, table_of_rows

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

    The cameras are the laboratory's: they paint the time of each exposure into its picture, and
    send JPEGs by HTTP or RTSP, or single pictures. Then they stall, and the time to the gateway's
    fault is measured (exit 1 for over a second). Where Aravis is installed its fake GigE camera
    gives 100 frames, compared with what it draws, and answers 30 software triggers (exit 1 for one
    that is not equal or not answered). 200 triggers of every 20 s take 67 minutes.
    """
    from lab.benchmarks.camera import CameraBenchmark, benchmark_camera

    try:
        chosen = tuple(float(pause) for pause in pauses.split(","))
    except ValueError:
        raise typer.BadParameter(f"--pauses {pauses}: write seconds, such as 0.2,2") from None
    options = CameraBenchmark(triggers, chosen, fps, delay_ms)
    if smoke:
        options = replace(options, triggers=5, pauses_s=(0.2, 0.5), gige_frames=10)
    result = benchmark_camera(options, print_aside)
    rows = result["rows"]
    assert isinstance(rows, list)
    cells = ([str(row[name]) for name in _COLUMNS] for row in rows)
    stall = result["stall_fault_s"]
    assert isinstance(stall, float)
    said = [f"fault of a stalled camera after {stall:g} s", *_in_words(result)]
    print_found(result, [table_of_rows(_COLUMNS, cells), *said], as_json)
    in_time = smoke or (not result["failed"] and stall <= 1)
    is_right = not result["stale"] and stall >= 0 and in_time and _is_equal(result)
    raise typer.Exit(0 if is_right else 1)


def _in_words(result: Mapping[str, object]) -> list[str]:
    gige, left_out = result["gige"], result["left_out"]
    assert isinstance(left_out, list)
    said = [f"left out: {why}" for why in left_out]
    if isinstance(gige, dict):
        said.append(
            "GigE camera: {equal} of {frames} frames equal, {answered} of {triggers} software "
            "triggers answered".format(**gige)
        )
    return said


def _is_equal(result: Mapping[str, object]) -> bool:
    gige = result["gige"]
    if not isinstance(gige, dict):
        return True
    return bool(gige["equal"] == gige["frames"] and gige["answered"] == gige["triggers"])
