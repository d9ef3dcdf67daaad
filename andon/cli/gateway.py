"""``andon gateway``: the edge process of one line."""

from typing import Annotated

import typer

from andon.cli.options import CameraSource, refuse_unused

app = typer.Typer(add_completion=False)


@app.command()
def gateway(
    line: Annotated[str | None, typer.Option(help="Line; ANDON_GATEWAY__LINE.")] = None,
    station: Annotated[str | None, typer.Option(help="Station; ANDON_GATEWAY__STATION.")] = None,
    plc: Annotated[
        str | None, typer.Option(help="OPC UA endpoint of the controller; ANDON_GATEWAY__PLC_URL.")
    ] = None,
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
        from andon.settings import load_settings
        from andon.settings_options import with_options

    settings = load_settings()
    options = {
        "--line": ("line", line),
        "--station": ("station", station),
        "--plc": ("plc_url", plc),
        "--camera": ("camera", camera),
        "--standby": ("standby", standby),
    }
    own = with_options(settings.gateway, options)
    refuse_unused(camera, [shot.camera for shot in own.shots])
    configure_logging("gateway", own.line, own.station)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # every reconnect is ours to report
    asyncio.run(run_gateway(settings.model_copy(update={"gateway": own})))
