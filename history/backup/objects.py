"""Copies the objects of a bucket into a folder and back, each named by what it holds.

A file is called by the SHA-256 of its bytes, so that no key can name a place outside the folder,
the same bytes are kept once, and damage is found when they are read. The list says which key has
which bytes; a later backup into the same folder reads only what was written since.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict

from history.errors import HistoryError
from history.object_rights import PROBES
from history.object_store import S3Objects
from streams.failures import Cause, PermanentError

T = TypeVar("T")
LIST: Final = "objects.jsonl"
FOLDER: Final = "objects"


class ObjectCopy(BaseModel):
    """A line of the list: a key of the bucket and the bytes that it had."""

    model_config = ConfigDict(frozen=True)

    key: str
    sha256: str
    size: int
    """Bytes."""
    content_type: str
    written: float
    """When the object was written, Unix seconds by the store's clock."""

    def file(self, folder: Path) -> Path:
        """Where the bytes are in a backup."""
        return folder / FOLDER / self.sha256[:2] / self.sha256

    def is_kept(self, folder: Path) -> bool:
        """Whether its bytes are there, all of them; a file that was cut short is not."""
        try:
            return self.file(folder).stat().st_size == self.size
        except OSError:
            return False


def copy_out(
    objects: S3Objects, folder: Path, progress: Callable[[int, int], None]
) -> list[ObjectCopy]:
    """Every object of the bucket as files of ``folder``; what is there already is not read again.

    An object that is removed meanwhile is left out.

    Args:
        objects: the whole bucket.
        folder: of this backup or an earlier one.
        progress: is called with how many of how many objects are done.

    Raises:
        HistoryError: the bucket has lost all objects of the earlier backup.
        UnavailableError: the store does not answer.
        PermanentError: it refuses, or the disk is full.
    """
    before = {copy.key: copy for copy in read_list(folder)}
    found = objects.keys("")
    held = {key for key in before if not key.endswith(PROBES)}
    if held and held.isdisjoint(found):
        raise HistoryError(
            f"{objects} has none of the {len(held)} objects any more that the backup has: this is "
            "another store, or a new one, and nothing was changed. `andon history restore` "
            "brings them back; where they shall be forgotten, make the backup in a new folder"
        )

    def take(key: str) -> ObjectCopy | None:
        known = before.get(key)
        if known is not None and known.written == found[key] and known.is_kept(folder):
            return known
        return _take(objects, key, found[key], folder)

    made = [copy for copy in _threaded(objects, take, sorted(found), progress) if copy is not None]
    text = "".join(f"{copy.model_dump_json()}\n" for copy in made)
    _write(folder / LIST, text.encode())
    return made


def copy_in(folder: Path, objects: S3Objects, progress: Callable[[int, int], None]) -> int:
    """Put every object of a backup into the bucket; how many there were.

    Raises:
        HistoryError: a file of the backup is absent or damaged; what it names is not put.
        UnavailableError: the store does not answer.
        PermanentError: it refuses.
    """
    copies = {copy.key: copy for copy in read_list(folder)}

    def put(key: str) -> None:
        objects.put(key, _intact(copies[key], folder), copies[key].content_type)

    return len(list(_threaded(objects, put, sorted(copies), progress)))


def read_list(folder: Path) -> Iterator[ObjectCopy]:
    """The objects of the backup in ``folder``; none where there is no backup yet."""
    if not (folder / LIST).exists():
        return
    with (folder / LIST).open() as lines:
        for line in lines:
            yield ObjectCopy.model_validate_json(line)


def remove_unlisted(folder: Path) -> int:
    """Remove the files that no object of the list has any more; how many there were.

    What was erased from the line must not stay in its backup.
    """
    kept = {copy.sha256 for copy in read_list(folder)}
    gone = [file for file in (folder / FOLDER).glob("*/*") if file.name not in kept]
    for file in gone:
        file.unlink()
    return len(gone)


def _take(objects: S3Objects, key: str, written: float, folder: Path) -> ObjectCopy | None:
    read = objects.read(key)
    if read is None:
        return None
    body, content_type = read
    copy = ObjectCopy(
        key=key,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        content_type=content_type,
        written=written,
    )
    if not copy.is_kept(folder):
        _write(copy.file(folder), body)
    return copy


def _write(target: Path, body: bytes) -> None:
    """A file is there whole or not at all; two threads may write the same bytes."""
    part = target.with_name(f"{target.name}.{threading.get_ident()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(body)
        part.replace(target)
    except OSError as error:
        raise PermanentError(Cause.FULL, f"{target} cannot be written: {error.strerror}") from None


def _intact(copy: ObjectCopy, folder: Path) -> bytes:
    try:
        body = copy.file(folder).read_bytes()
    except OSError as error:
        raise HistoryError(f"the backup lacks {copy.key}: {error}") from None
    if hashlib.sha256(body).hexdigest() != copy.sha256:
        raise HistoryError(f"the backup is damaged: {copy.file(folder)} is not what {copy.key} was")
    return body


def _threaded(
    objects: S3Objects,
    work: Callable[[str], T],
    keys: list[str],
    progress: Callable[[int, int], None],
) -> Iterator[T]:
    with ThreadPoolExecutor(objects.connections, thread_name_prefix="backup") as threads:
        try:
            for number, result in enumerate(threads.map(work, keys), 1):
                yield result
                progress(number, len(keys))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
