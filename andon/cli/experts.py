"""What the commands over experts share: pictures, artifacts, errors and progress."""

import csv
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from andon import wiring
from andon.cli.printing import progress
from andon.settings import load_settings
from serving.bundles import BundleError, product_path
from serving.errors import StoreError
from serving.experts.images import list_images
from streams.errors import AndonError


class ExpertCommandError(AndonError):
    """An expert, its artifact or its images cannot be used; the message says why."""


@contextmanager
def stage_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar per stage on stderr."""
    with progress(transient=False) as bars:
        tasks = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def artifact_root() -> Path:
    """The folder of trained experts, from the settings.

    Raises:
        ExpertCommandError: the settings name object storage.
    """
    root = load_settings().paths.artifacts
    if "://" in root:
        raise ExpertCommandError(
            f"ANDON_PATHS__ARTIFACTS is {root}: give a folder here (--out, --artifact) and copy it"
        )
    return Path(root)


def product_artifacts(root: Path, product: str) -> Path:
    """The folder of a product's artifacts below ``root``, whether or not there is one yet.

    Raises:
        ExpertCommandError: another product's name differs only in case.
    """
    try:
        return product_path(root, product)
    except BundleError as error:
        raise ExpertCommandError(str(error)) from None


def find_artifact(given: Path) -> Path:
    """An artifact's folder: ``given`` itself, or the newest version in a product's folder.

    Raises:
        ExpertCommandError: neither.
    """
    if (given / "manifest.json").is_file():
        return given
    versions = sorted(given.glob("*/manifest.json"), key=lambda p: p.stat().st_mtime)
    if not versions:
        raise ExpertCommandError(
            f"{given}: no artifact there; give the folder that `andon train` printed"
        )
    return versions[-1].parent


def waiting_words(root: Path, product: str, digest: str) -> str:
    """What to say of a new version that waits in the store; empty where it is in force at once."""
    try:
        pointed = wiring.bundle_store(str(root)).pointed(product)
    except StoreError as error:
        return str(error)
    if pointed in (None, digest):
        return ""
    return (
        f"not in force: {product} has version {pointed[:12]} in force until "
        f"`andon models use {shlex.quote(product)} {digest[:12]}`"
    )


def list_inputs(given: Sequence[Path]) -> list[Path]:
    """Files as given, folders as the images in them.

    Raises:
        ExpertCommandError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise ExpertCommandError(f"{path}: no such file or folder")
        inside = list_images(path) if path.is_dir() else [path]
        if not inside:
            raise ExpertCommandError(f"{path}: no images in this folder")
        found += inside
    return found


def read_parts(table: Path) -> dict[str, str]:
    """Part by path, both as they stand in a CSV.

    Raises:
        ExpertCommandError: the CSV lacks the columns ``path`` and ``part``.
    """
    with table.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if not {"path", "part"} <= set(rows.fieldnames or ()):
            raise ExpertCommandError(f"{table}: the columns 'path' and 'part' are needed")
        return {row["path"]: row["part"] for row in rows}


def read_groups(images: Path, given: Path | None) -> dict[Path, str]:
    """Part by image path, from ``given`` or the ``parts.csv`` at or above the images' folder.

    Raises:
        ExpertCommandError: the CSV lacks the columns ``path`` and ``part``.
    """
    nearby = (folder / "parts.csv" for folder in [images, *images.parents][:3])
    table = given or next((p for p in nearby if p.is_file()), None)
    if table is None:
        return {}
    return {table.parent / path: part for path, part in read_parts(table).items()}
