"""A backup as a folder: the dump of the database, the objects of each bucket, and what it is."""

import asyncio
import contextlib
import fcntl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from history.backup.database import (
    dump_database,
    first_part_at,
    require_empty,
    restore_database,
)
from history.backup.objects import copy_in, copy_out, remove_unlisted
from history.errors import HistoryError
from history.object_store import S3Objects

DUMP: Final = "history.dump"
ABOUT: Final = "backup.json"
BUCKETS: Final = "buckets"
LOCK: Final = "backup.lock"
Progress = Callable[[str, int, int], None]
"""Is called with a bucket, and how many of how many of its objects are done."""


class Backup(BaseModel):
    """What is in a backup."""

    model_config = ConfigDict(frozen=True)

    made_at: datetime
    """When it was begun: the state of the database is not older."""
    schema_revision: str
    buckets: dict[str, int]
    """Objects of each bucket."""
    objects_bytes: int
    """Of all objects, before the same bytes are kept once."""
    dump_bytes: int
    first_part_at: datetime | None = None
    """The first part that was recorded, to the quarter of an hour; None of an empty history."""


def make_backup(
    url: str, revision: str, buckets: Mapping[str, S3Objects], folder: Path, progress: Progress
) -> Backup:
    """Write a backup, or bring the one in ``folder`` up to date.

    The database comes first: pictures are stored before what was decided of them is recorded, so
    the objects that are copied afterwards hold all that the dump names. The dump takes its place
    once they are there: whatever fails before, the backup that was in ``folder`` can be restored.
    A first one that was interrupted has no ``backup.json``, and is completed by the next. Two at
    once would remove each other's files: the second is refused.

    Args:
        url: of the database, as the owner.
        revision: of its schema.
        buckets: by name.
        folder: new, or of an earlier backup.

    Raises:
        HistoryError: the database's tool is absent, or says why it could not; database or bucket
            have lost all that the earlier backup holds of them; another process has the folder.
        UnavailableError: a store does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK).touch()
    with _held(folder, fcntl.LOCK_EX):
        return _make(url, revision, buckets, folder, progress)


def _make(
    url: str, revision: str, buckets: Mapping[str, S3Objects], folder: Path, progress: Progress
) -> Backup:
    begun = datetime.now(UTC)
    first = asyncio.run(first_part_at(url))
    before = None
    with contextlib.suppress(HistoryError):  # no whole backup is there yet
        before = read_backup(folder).first_part_at
    if before is not None and (first is None or first > before):
        begins = "holds no part" if first is None else f"begins at {first:%Y-%m-%d %H:%M} UTC"
        raise HistoryError(
            f"the database {begins}, and the backup in {folder} at {before:%Y-%m-%d %H:%M} UTC: "
            "this is another history, and nothing was changed. `andon history restore` brings the "
            "earlier one back; else make the backup in a new folder"
        )
    part = folder / f"{DUMP}.part"
    dump_database(url, part)
    counts: dict[str, int] = {}
    size = 0
    for name, objects in buckets.items():
        copies = copy_out(objects, folder / BUCKETS / name, partial(progress, name))
        counts[name] = len(copies)
        size += sum(copy.size for copy in copies)
    backup = Backup(
        made_at=begun,
        schema_revision=revision,
        buckets=counts,
        objects_bytes=size,
        dump_bytes=part.stat().st_size,
        first_part_at=first,
    )
    part.replace(folder / DUMP)
    about = folder / f"{ABOUT}.part"
    about.write_text(backup.model_dump_json(indent=2) + "\n")
    about.replace(folder / ABOUT)
    for name in buckets:
        remove_unlisted(folder / BUCKETS / name)
    return backup


def read_backup(folder: Path) -> Backup:
    """What is in ``folder``.

    Raises:
        HistoryError: no whole backup.
    """
    try:
        return Backup.model_validate_json((folder / ABOUT).read_text())
    except FileNotFoundError:
        said = f"{folder} has no {ABOUT}: it is no backup, or one that was interrupted"
        raise HistoryError(f"{said}; make it again with the same folder") from None
    except (OSError, ValidationError) as error:
        raise HistoryError(f"{folder / ABOUT} cannot be read: {error}") from None


def restore_backup(
    folder: Path, url: str, buckets: Mapping[str, S3Objects], progress: Progress
) -> Backup:
    """Fill an empty database, and the buckets, from a backup.

    The database comes last, all of it or nothing: what failed before can be done again.

    Args:
        folder: of the backup.
        url: of the empty database, as its owner.
        buckets: by the names that they had.

    Raises:
        HistoryError: no whole backup, a bucket that is not given, a database that is not empty, or
            a damaged file; it is being renewed.
        UnavailableError: the object store does not answer.
    """
    with _held(folder, fcntl.LOCK_SH):
        backup = read_backup(folder)
        if missing := sorted(set(backup.buckets) - set(buckets)):
            raise HistoryError(
                f"the backup has a bucket that the settings do not name: {', '.join(missing)}; a "
                "bucket is restored under its own name: give it to ANDON_S3__BUCKET, "
                "ANDON_PATHS__ARTIFACTS or ANDON_PATHS__EXEMPLARS, as on the line that was backed "
                "up, and where it shall not be filled again there, another ANDON_S3__ENDPOINT"
            )
        asyncio.run(require_empty(url))
        for name in backup.buckets:
            own = folder / BUCKETS / name
            copy_in(own, buckets[name], partial(progress, name))
        restore_database(url, folder / DUMP)
    return backup


@contextlib.contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    """While nobody else writes the folder; one of an earlier version has no lock."""
    if not (folder / LOCK).exists():
        yield
        return
    with (folder / LOCK).open("r+b" if how == fcntl.LOCK_EX else "rb") as file:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            said = f"another `andon history backup` or `restore` is at work in {folder}"
            raise HistoryError(f"{said}: wait for its end, or take another folder") from None
        yield
