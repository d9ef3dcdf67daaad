"""What the commands over experts share: pictures, artifacts, errors and progress."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from andon.cli.printing import progress
from andon.settings import load_settings
from andon.wiring import storage
from serving.bundles import BundleError, product_path
from serving.errors import StoreError
from serving.experts.images import IMAGE_SUFFIXES
from streams.errors import AndonError
from streams.images.layout import LayoutError, normal_folders, photographs, table_in
from streams.images.parts import read_parts, require_match


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
        pointed = storage.bundle_store(str(root)).pointed(product)
    except StoreError as error:
        return str(error)
    if pointed in (None, digest):
        return ""
    return (
        f"not in force: {product} has version {pointed[:12]} in force until "
        f"`andon models use {shlex.quote(product)} {digest[:12]}`"
    )


def list_inputs(given: Sequence[Path]) -> list[Path]:
    """Files as given, folders as the photographs in them; masks of a data set are none.

    Raises:
        ExpertCommandError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise ExpertCommandError(f"{path}: no such file or folder")
        inside = photographs(path) if path.is_dir() else [path]
        if not inside:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise ExpertCommandError(f"{path}: no images in this folder ({kinds})")
        found += inside
    return found


def list_normals(folder: Path) -> list[Path]:
    """The photographs of normal parts in a folder or a data set; says what it leaves out.

    Raises:
        ExpertCommandError: no such folder, no image in it, or defects among them.
    """
    if not folder.is_dir():
        return list_inputs([folder])
    try:
        found = normal_folders(folder)
    except LayoutError as error:
        raise ExpertCommandError(str(error)) from None
    if found.words():
        typer.echo(f"{folder}: {found.words()}", err=True)
    return list_inputs(found.read)


def read_groups(
    images: Path, given: Path | None, pictures: Sequence[Path] | None = None, strict: bool = True
) -> dict[Path, str]:
    """Part by image path, from ``given`` or the ``parts.csv`` at or above the images' folder.

    Args:
        images: the folder.
        given: a CSV of path and part.
        pictures: the images; all of the folder without.
        strict: refuse a table that names none of them.

    Raises:
        TableError: the CSV cannot be used, or names none of the images.
    """
    table = given or _table_near(images)
    if table is None:
        return {}
    shown = photographs(images) if pictures is None else pictures
    found = read_parts(table, shown, [images])
    if strict:
        require_match(found, shown, of_others=given is None)
    typer.echo(found.words(), err=True)
    return dict(found.groups)


def _table_near(images: Path) -> Path | None:
    """The ``parts.csv`` at or above a folder of images."""
    nearby = (table_in(folder) for folder in [images, *images.parents][:3])
    return next(filter(None, nearby), None)


def parts_near(given: Sequence[Path], pictures: Sequence[Path]) -> dict[Path, str]:
    """Part by image path, from each ``parts.csv`` at or above what was given.

    Args:
        given: files and folders, as the user named them.
        pictures: the images that they hold.

    Raises:
        TableError: a table cannot be used.
    """
    folders = [path if path.is_dir() else path.parent for path in given]
    parts: dict[Path, str] = {}
    for table in dict.fromkeys(filter(None, map(_table_near, folders))):
        found = read_parts(table, pictures, folders)
        typer.echo(found.words(), err=True)
        parts = {**found.groups, **parts}
    return parts


def parts_of(table: Path, pictures: Sequence[Path]) -> dict[Path, str]:
    """Part by image path, from a CSV whose paths may be those of another machine.

    Raises:
        TableError: the CSV cannot be used, or names none of the images.
    """
    found = require_match(read_parts(table, pictures, [Path()], by_name=True), pictures)
    if found.without or found.unmatched:
        typer.echo(found.words(), err=True)
    return dict(found.groups)
