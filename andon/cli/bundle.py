"""``andon bundle``: what a machine without a network installs Andon from."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, ClassVar

import typer
from rich.console import Console

from andon.cli.laboratory import GroupWithLaboratory
from andon.cli.options import Json
from andon.cli.printing import plain, print_found
from andon.offline_bundle import WholeBundle
from andon.offline_bundle import verify as verified


class Bundle(GroupWithLaboratory):
    """The check of a bundle, and what makes one from a checkout."""

    above = ("bundle",)
    laboratory: ClassVar[dict[str, str]] = {
        "make": "Make a bundle from this checkout: a folder, or one tar file.",
    }


app = typer.Typer(cls=Bundle, no_args_is_help=True, add_completion=False)


@app.callback()
def bundle() -> None:
    """Offline bundles: all that an air-gapped machine needs to install Andon, with hashes."""


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="The bundle: its folder, or its tar.")],
    digest: Annotated[
        str | None,
        typer.Option(help="What `andon bundle make` printed, carried by another way."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a bundle with its hashes; exit 1 where a file differs, is absent or unknown."""
    begun = time.monotonic()
    Console(stderr=True).print("hashing every file; seconds for each gigabyte")
    print_whole(path, verified(path, digest), time.monotonic() - begun, as_json)


def print_whole(path: Path, found: WholeBundle, seconds: float, as_json: bool) -> None:
    """Print what a bundle is, its size, its digest, and how long that took."""
    of = found.manifest
    extras = f"[{','.join(of.extras)}]" if of.extras else ""
    lines = [
        f"{plain(str(path))}: Andon {of.version}{extras}, commit {of.commit[:10] or 'unknown'}, "
        f"for {of.machine}, Python {of.python}",
        f"{of.packages} packages, {len(of.experts)} experts, {found.files} files, "
        f"{found.size / 1e9:.2f} GB, {seconds:.0f} s",
        f"digest {found.digest}",
    ]
    body = {"path": str(path), **asdict(found), "manifest": of.model_dump(), "seconds": seconds}
    print_found(body, lines, as_json)
