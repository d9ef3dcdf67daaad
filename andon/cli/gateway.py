"""``andon gateway``: the edge process of one line."""

from typing import Annotated

import typer

from andon.cli.options import CameraSource

app = typer.Typer(add_completion=False)


@app.command()
def gateway(
    line: Annotated[str | None, typer.Option(help="Line; ANDON_GATEWAY__LINE.")] = None,
    station: Annotated[str | None, typer.Option(help="Station; ANDON_GATEWAY__STATION.")] = None,
    plc: Annotated[str | None, typer.Option(help="OPC UA endpoint of the controller.")] = None,
    camera: CameraSource = None,
    standby: Annotated[
        bool | None,
        typer.Option(
            "--standby", help="Wait while another gateway is in charge; take over when it dies."
        ),
    ] = None,
) -> None:
    """Serve one line: trigger, capture, publish; decisions back to the controller."""
    import asyncio
    import logging

    from andon.processes.heap import loading

    with loading():
        from andon.log import configure_logging
        from andon.processes.gateway import run_gateway
        from andon.settings import SettingsError, load_settings
        from connectors.settings import GatewaySettings

    settings = load_settings()
    given = {"line": line, "station": station, "plc_url": plc, "camera": camera, "standby": standby}
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        own = GatewaySettings.model_validate({**settings.gateway.model_dump(), **overrides})
    except ValueError as error:
        raise SettingsError(f"gateway: {error}") from None
    configure_logging("gateway", own.line, own.station)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # every reconnect is ours to report
    asyncio.run(run_gateway(settings.model_copy(update={"gateway": own})))
