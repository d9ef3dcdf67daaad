"""``andon console``: the read-only HTTP API over the history."""

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def console(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port.")] = 8080,
) -> None:
    """Serve the history over HTTP (`/docs` describes it); Ctrl-C ends it."""
    import uvicorn

    from andon import wiring
    from andon.settings import load_settings
    from console.api import build_app

    settings = load_settings()
    web = build_app(wiring.history(settings), wiring.image_store(settings))
    uvicorn.run(web, host=host, port=port, log_level=settings.log_level, access_log=False)
