"""``andon console``: the pages and the HTTP API, and who may use them."""

from typing import Annotated

import typer

from andon.cli.console_audit import audit
from andon.cli.console_people import add_user, password, token

app = typer.Typer(add_completion=False, invoke_without_command=True)


@app.callback()
def console(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port.")] = 8080,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that it is asked by, besides loopback and --host; repeatable."),
    ] = None,
) -> None:
    """Serve the pages and the history's HTTP API (`/docs` describes it); Ctrl-C ends it.

    Where nobody may log in yet, an administrator is made and the password is printed once.
    """
    if context.invoked_subcommand is not None:
        return
    import uvicorn

    from andon.log import configure_logging
    from andon.settings import load_settings
    from andon.wiring.console import console_parts
    from andon.wiring.exposition import of_all
    from console.app import build_app
    from streams.addresses import is_loopback
    from streams.exposition import served

    settings = load_settings()
    configure_logging("console")
    names = (f"[{host}]" if ":" in host else host, *(allow_host or ()))
    parts, own = console_parts(settings), settings.console
    web = build_app(parts, names, _announce)
    if parts.meter is not None:
        setting = "ANDON_CONSOLE__METRICS_PORT"
        served(parts.meter.registry, own.metrics_port, own.metrics_host, setting, of_all(settings))
    if not is_loopback(host):
        words = "what is typed there, passwords too, is not encrypted; put TLS before it"
        typer.echo(f"warning: {host} is not loopback, and {words}", err=True)
    typer.echo(f"console: http://{names[0]}:{port}/", err=True)
    uvicorn.run(
        web,
        host=host,
        port=port,
        log_level=settings.log_level,
        log_config=None,  # its records are written as ours are
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(own.trusted_proxies),
        timeout_graceful_shutdown=2,  # a live page's stream never ends by itself
    )


def _announce(name: str, password: str) -> None:
    """Print the first person's password: it is kept nowhere, and opens once."""
    typer.echo(f"first login: {name}  password: {password}  (shown once; change it)", err=True)


app.command("add-user")(add_user)
app.command()(password)
app.command()(token)
app.command()(audit)
