"""``andon console``: the read-only HTTP API over the history."""

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def console(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port.")] = 8080,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that it is asked by, besides loopback and --host; repeatable."),
    ] = None,
) -> None:
    """Serve the history over HTTP (`/docs` describes it); Ctrl-C ends it."""
    import uvicorn

    from andon import wiring
    from andon.settings import load_settings
    from console.api import build_app
    from streams.addresses import is_loopback

    settings = load_settings()
    names = (f"[{host}]" if ":" in host else host, *(allow_host or ()))
    web = build_app(wiring.history(settings), wiring.image_store(settings), names)
    if not is_loopback(host):
        words = "the console asks nobody who they are; put the plant's proxy before it"
        typer.echo(f"warning: {host} is not loopback, and {words}", err=True)
    uvicorn.run(
        web,
        host=host,
        port=port,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
    )
