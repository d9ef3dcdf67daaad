"""``andon stack``: broker, PostgreSQL, S3 and Ray on this machine, at the settings' ports."""

import asyncio
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape

from andon.cli.options import Json, group
from andon.cli.printing import print_found, table_of_rows
from andon.settings import Settings, load_settings
from streams.errors import AndonError
from streams.principals import Role

if TYPE_CHECKING:
    from andon.stack.local import StackPorts

app = group("The local stack: broker, PostgreSQL, S3, Ray.")
Folder = Annotated[Path, typer.Option(help="Where data and logs go.")]
FOLDER = Path(".andon/stack")
DASHBOARD_PORT = 8265


class StackError(AndonError):
    """The local stack cannot be started or stopped as asked."""


@app.command()
def up(
    folder: Folder = FOLDER,
    dashboard_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Ray's REST API.")
    ] = DASHBOARD_PORT,
    as_json: Json = False,
) -> None:
    """Start all; topics, schema and bucket are there when it returns."""
    from andon.stack.local import LocalStack
    from andon.stack.prepare import prepare
    from andon.stack.state import remember, running

    if running(folder):
        raise StackError(f"a stack runs already in {folder}: `andon stack down` first")
    settings = load_settings()
    ports = ports_of(settings, dashboard_port)
    console = Console(stderr=True)
    begun = time.monotonic()
    token_file, secure = settings.serve.token_file, settings.secure
    stack = LocalStack(folder, ports, tethered=False, token_file=token_file, secure=secure)
    for number in (signal.SIGTERM, signal.SIGHUP):  # what has started is stopped again
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with console.status("starting broker, PostgreSQL, S3 and Ray"):
        stack.start(lambda name, seconds: console.print(f"{name} ready after {seconds:.1f} s"))
        remember(folder, stack)
        own = stack.settings() if secure else settings
        asyncio.run(prepare(own, [], "stack"))
    seconds = round(time.monotonic() - begun, 1)
    addresses = {**_addresses(settings, dashboard_port), "ray_logs": str(stack.ray_logs or "")}
    stack.leave()
    table = table_of_rows(("component", "address"), addresses.items(), f"ready after {seconds} s")
    print_found({"ready_s": seconds, **addresses}, [table], as_json)


@app.command()
def down(folder: Folder = FOLDER) -> None:
    """Stop all that `up` started; data stays, except what the broker holds in memory."""
    from andon.stack.state import end

    names = end(folder)
    typer.echo(f"stopped {', '.join(names)}" if names else f"nothing runs in {folder}")


@app.command()
def env(
    role: Annotated[Role, typer.Argument(help="Whose settings: a worker's, or a person's.")],
    folder: Folder = FOLDER,
) -> None:
    """Lines for the shell that give a role's settings: eval "$(andon stack env inspect)".

    With ANDON_SECURE they hold the role's own passwords.
    """
    from andon.stack.local import LocalStack

    settings = load_settings()
    ports, token_file = ports_of(settings, DASHBOARD_PORT), settings.serve.token_file
    stack = LocalStack(folder, ports, token_file=token_file, secure=settings.secure)
    if settings.secure and not stack.security_folder.is_dir():
        raise StackError(f"no secured stack was started in {folder}: `andon stack up` first")
    for name, value in stack.environment(role).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(folder: Folder = FOLDER, as_json: Json = False) -> None:
    """What runs and answers; exit code 1 unless all do."""
    from andon.stack.state import known, running, silent

    alive, quiet = running(folder), silent(folder)
    states = {name: name in alive and name not in quiet for name in known(folder)}

    def words(name: str) -> str:
        if name in quiet:
            return f"[red]runs and does not answer[/]: {escape(quiet[name])}"
        return "[green]runs[/]" if states[name] else "[red]is down[/]"

    table = table_of_rows(("component", "state"), ((name, words(name)) for name in states))
    print_found(states, [table if states else f"no stack was started in {folder}"], as_json)
    raise typer.Exit(0 if states and all(states.values()) else 1)


def ports_of(settings: Settings, dashboard_port: int) -> "StackPorts":
    """The ports that the settings name.

    Raises:
        StackError: a setting points at another machine.
    """
    from andon.stack.local import StackPorts

    return StackPorts(
        broker=local_port("ANDON_KAFKA__BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers),
        postgres=local_port("ANDON_POSTGRES__URL", settings.postgres.url.get_secret_value()),
        s3=local_port("ANDON_S3__ENDPOINT", settings.s3.endpoint),
        ray=local_port("ANDON_SERVE__ADDRESS", settings.serve.address),
        ingress=local_port("ANDON_SERVE__INGRESS", settings.serve.ingress),
        ray_dashboard=dashboard_port,
    )


def local_port(setting: str, address: str) -> int:
    """The port of an address on this machine.

    Args:
        setting: the environment name, for the error.
        address: host:port or a URL.

    Raises:
        StackError: the address is of another machine, or names no port.

    >>> local_port("ANDON_S3__ENDPOINT", "127.0.0.1:19000")
    19000
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname not in ("127.0.0.1", "localhost") or parts.port is None:
        raise StackError(
            f"{setting} is not host:port on 127.0.0.1: the local stack is for loopback"
        )
    return parts.port


def _addresses(settings: Settings, dashboard_port: int) -> dict[str, str]:
    url = urlsplit(settings.postgres.url.get_secret_value())
    return {
        "kafka": settings.kafka.bootstrap_servers,
        "postgres": f"{url.hostname}:{url.port}{url.path}",
        "s3": settings.s3.endpoint,
        "ray": settings.serve.address,
        "ingress": settings.serve.ingress,
        "ray_rest": f"http://127.0.0.1:{dashboard_port}",
    }
