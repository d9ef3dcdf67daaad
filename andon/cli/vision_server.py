"""``andon vision-server``: a station for clients of OPC 40100-1 instead of a line controller."""

from typing import Annotated

import typer

from andon.cli.options import CameraSource, refuse_unused

app = typer.Typer(add_completion=False)


@app.command()
def vision_server(
    line: Annotated[str | None, typer.Option(help="Line; ANDON_GATEWAY__LINE.")] = None,
    station: Annotated[str | None, typer.Option(help="Station; ANDON_GATEWAY__STATION.")] = None,
    camera: CameraSource = None,
    url: Annotated[
        str | None, typer.Option(help="Where the server listens; ANDON_VISION__URL.")
    ] = None,
) -> None:
    """Serve clients of OPC UA for Machine Vision: jobs in, results out as events.

    In place of ``andon gateway``: a client that starts a job gives the trigger, and the same core
    captures, publishes and decides in time. Exit code 1 when the address, the camera, a
    certificate or the journal cannot be used.
    """
    import asyncio
    import logging

    from andon.log import configure_logging
    from andon.processes.vision_server import run_vision_server
    from andon.settings import load_settings
    from andon.settings_options import with_options

    settings = load_settings()
    options = {
        "--line": ("line", line),
        "--station": ("station", station),
        "--camera": ("camera", camera),
    }
    gateway = with_options(settings.gateway, options)
    refuse_unused(camera, [shot.camera for shot in gateway.shots])
    vision = with_options(settings.vision, {"--url": ("url", url)})
    configure_logging("vision-server", gateway.line, gateway.station)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # a client's mistakes are its own
    update = {"gateway": gateway, "vision": vision}
    asyncio.run(run_vision_server(settings.model_copy(update=update)))
