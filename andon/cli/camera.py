"""``andon camera``: what a camera does before a line depends on it."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

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
    from andon import wiring
    from andon.settings import load_settings

    settings = load_settings()
    if source is not None:
        own = settings.gateway.model_copy(update={"camera": source, "shots": ()})
        settings = settings.model_copy(update={"gateway": own})
    with progress() as bars:
        bar = bars.add_task("captures", total=captures)
        found = asyncio.run(
            wiring.survey_camera(settings, captures, lambda n: bars.update(bar, completed=n))
        )
    cells = ((name.replace("_", " "), str(value)) for name, value in asdict(found).items())
    print_found(asdict(found), [table_of_rows(("figure", "value"), cells)], as_json)
    raise typer.Exit(1 if found.failed else 0)
