"""``andon bundle make``: what a machine without a network installs Andon from."""

import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from andon.cli.bundle import print_whole
from andon.cli.options import Json, writable_folder
from andon.cli.printing import print_aside
from andon.offline_bundle import verify

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def bundle() -> None:
    """Bundles are made in a laboratory."""


@app.command()
def make(
    out: Annotated[
        Path, typer.Argument(help="A new folder; or a file that ends with .tar, for one file.")
    ],
    machine: Annotated[
        Literal["linux-x86_64", "linux-aarch64"] | None,
        typer.Option(help="What they are who install it; without, this machine."),
    ] = None,
    python: Annotated[
        Literal["3.11", "3.12", "3.13"] | None,
        typer.Option(help="Their Python; without, this one."),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(help="More than production: embedded, demo, lab, mqtt; repeatable."),
    ] = None,
    expert: Annotated[
        list[Path] | None,
        typer.Option(help="A trained expert's folder, with its backbone's weights; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a bundle from this checkout: a folder, or one tar file.

    It holds the wheels that constraints-hashed.txt pins, Andon's own with console, prompts and
    policies, the backbone's weights, what infra/ has for a plant, install.sh, and the hash of each
    file. The wheels come from the package index that pip is set up for.
    """
    from lab.supply.offline import BundleWanted, make, pack

    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="OUT")
    writable_folder(out.parent, "OUT")
    begun = time.monotonic()
    folder = out.with_name(out.name + ".draft")
    wanted = BundleWanted(
        machine or f"{platform.system().lower()}-{platform.machine()}",
        python or f"{sys.version_info.major}.{sys.version_info.minor}",
        tuple(sorted(extra or ())),
        tuple(expert or ()),
    )
    try:
        make(folder, wanted, print_aside)
        if out.suffix == ".tar":
            print_aside("writing the tar")
            pack(folder, out)
        else:
            folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_aside("verifying it")
    print_whole(out, verify(out), time.monotonic() - begun, as_json)
