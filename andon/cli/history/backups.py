"""``andon history backup`` and ``andon history restore``: a folder that brings a history back."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from andon.cli.options import Json, writable_folder
from andon.cli.printing import plain, print_found, progress
from andon.settings import Settings, load_settings
from andon.wiring import storage
from history.backup.folder import Backup, make_backup, restore_backup
from history.migrate import current


def backup(
    folder: Annotated[Path, typer.Argument(help="New, or of an earlier backup: it is renewed.")],
    as_json: Json = False,
) -> None:
    """Copy the whole history: the database by pg_dump, every object of the object store.

    The line goes on meanwhile. The same folder again reads only the objects that are new, and
    forgets those that were removed. Run it as the owner of the tables.
    """
    writable_folder(folder.parent, "FOLDER")
    settings = load_settings()
    url = settings.postgres.url.get_secret_value()
    revision = asyncio.run(current(url))
    buckets = {name: storage.s3_objects(settings, name) for name in _buckets(settings)}
    with progress() as bar:
        made = make_backup(url, revision, buckets, folder, _Bars(bar))
    print_found(made.model_dump(mode="json"), _lines(made, f"backup in {folder}"), as_json)
    for kind in _folders(settings):
        typer.echo(f"not part of it: {kind}, a folder of this machine", err=True)


def restore(
    folder: Annotated[Path, typer.Argument(help="Of the backup.", exists=True, file_okay=False)],
    as_json: Json = False,
) -> None:
    """Fill an empty database and the object store from a backup; then run `andon history check`.

    Rights are applied again by `andon history grant`, policies are put in force by
    `andon policy apply`.
    """
    settings = load_settings()
    url = settings.postgres.url.get_secret_value()
    buckets = {name: storage.s3_objects(settings, name) for name in _buckets(settings)}
    with progress() as bar:
        found = restore_backup(folder, url, buckets, _Bars(bar))
    print_found(found.model_dump(mode="json"), _lines(found, f"restored from {folder}"), as_json)


def _buckets(settings: Settings) -> list[str]:
    """The bucket of the pictures, and those of the experts and the exemplars."""
    own = [settings.paths.artifacts, settings.paths.exemplars]
    named = [path.removeprefix("s3://").split("/")[0] for path in own if path.startswith("s3://")]
    return list(dict.fromkeys([settings.s3.bucket, *named]))


def _folders(settings: Settings) -> list[str]:
    own = [settings.paths.artifacts, settings.paths.exemplars]
    return [path for path in own if not path.startswith("s3://")]


def _lines(backup: Backup, what: str) -> list[str]:
    mib = backup.objects_bytes / 2**20
    objects = ", ".join(f"{count} objects of {name}" for name, count in backup.buckets.items())
    return [
        plain(f"{what}, of {backup.made_at:%Y-%m-%d %H:%M:%S} UTC"),
        f"database of schema {backup.schema_revision}, {backup.dump_bytes / 2**20:.1f} MiB",
        f"{objects}, {mib:.1f} MiB",
    ]


class _Bars:
    """A bar for each bucket."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, bucket: str, done: int, of: int) -> None:
        if bucket not in self._tasks:
            self._tasks[bucket] = self._shown.add_task(bucket, total=of)
        self._shown.update(self._tasks[bucket], completed=done, total=of)
