"""``andon camera``: what a camera does before a line depends on it."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.experts import list_normals, stage_bars
from andon.cli.options import Json, group
from andon.cli.printing import print_found, progress, table_of_rows

app = group("Try a camera before a line depends on it.")


@app.callback()
def camera() -> None:
    """Try a camera before a line depends on it."""


@app.command()
def check(
    source: Annotated[
        str | None,
        typer.Argument(
            help="As ANDON_GATEWAY__CAMERA, which is taken without.", show_default=False
        ),
    ] = None,
    captures: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """Capture some pictures: rate, latency, freshness, faults. Exit code 1 where one failed."""
    from andon.settings import load_settings
    from andon.wiring import edge

    settings = load_settings()
    if source is not None:
        own = settings.gateway.model_copy(update={"camera": source, "shots": ()})
        settings = settings.model_copy(update={"gateway": own})
    with progress() as bars:
        bar = bars.add_task("captures", total=captures)
        found = asyncio.run(
            edge.survey_camera(settings, captures, lambda n: bars.update(bar, completed=n))
        )
    cells = ((name.replace("_", " "), str(value)) for name, value in asdict(found).items())
    print_found(asdict(found), [table_of_rows(("figure", "value"), cells)], as_json)
    raise typer.Exit(1 if found.failed else 0)


@app.command()
def normals(
    images: Annotated[
        Path, typer.Argument(help="Folder of good parts' pictures, as `andon train` reads it.")
    ],
    out: Annotated[Path, typer.Option(help="File of the limits, named in the settings then.")],
    as_json: Json = False,
) -> None:
    """Measure what a product's normals look like: limits of focus and exposure for its camera.

    Only normals set the limits. What they would find is tried on every second normal, as it is,
    blurred, and exposed otherwise, by limits of the others. Name the file in
    `[gateway.camera_normals]` under the product.
    """
    from andon.wiring import edge

    paths = list_normals(images)
    with stage_bars() as report:
        limits, trial = edge.camera_normals(paths, report)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(limits.to_json() + "\n", "utf-8")
    found = {"limits": asdict(limits), "trial": asdict(trial), "file": str(out)}
    most = limits.gain_most
    rows = [
        ("normals", str(limits.pictures)),
        ("brightness against theirs", f"{limits.gain_least:.2f} to {most:.2f} times"),
        ("fine detail over brightness", f"at least {limits.detail_least:.3g}"),
        ("fine detail over coarse", f"at least {limits.focus_least:.3g}"),
        ("refused as they are", f"{trial.false_alarms} of {trial.tried}"),
        *((f"refused {how}", f"{share:.0%}") for how, share in trial.found.items()),
    ]
    print_found(found, [table_of_rows(("figure", "value"), rows)], as_json)
