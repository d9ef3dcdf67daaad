"""``andon vision-server``: a station for clients of OPC 40100-1 instead of a line controller."""

from typing import Annotated

import typer

from andon.cli.options import CameraSource

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
    from andon.settings import SettingsError, load_settings
    from connectors.settings import GatewaySettings
    from connectors.vision.settings import VisionServerSettings

    settings = load_settings()
    places = {"line": line, "station": station, "camera": camera}
    own = {name: value for name, value in places.items() if value is not None}
    try:
        gateway = GatewaySettings.model_validate({**settings.gateway.model_dump(), **own})
        given = {} if url is None else {"url": url}
        vision = VisionServerSettings.model_validate({**settings.vision.model_dump(), **given})
    except ValueError as error:
        raise SettingsError(f"vision-server: {error}") from None
    configure_logging("vision-server", gateway.line, gateway.station)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # a client's mistakes are its own
    update = {"gateway": gateway, "vision": vision}
    asyncio.run(run_vision_server(settings.model_copy(update=update)))
