"""Content-addressed folders: ``<root>/<product>/<digest>/`` with a ``manifest.json``.

The product's folder is called like the product where every file system takes that name, and by a
key that derives from it where not (``streams.names.key_of``); the manifest has the name itself.
The digest is the SHA-256 of the manifest, which names every other file by its own: what is read is
what was written. Vision experts and exemplars are both kept so, whatever their manifests say.
"""

import hashlib
import mmap
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from streams.names import fault_of, key_of

MANIFEST: Final = "manifest.json"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
ABANDONED_S: Final = 86400.0
"""Age of a draft from which on nobody writes it any more."""
_BEFORE = re.compile(r"[^\s./\\\x00-\x1f][^/\\\x00-\x1f]{0,127}")


class BundleError(Exception):
    """A file of a bundle cannot be written, cannot be read, or is not what its digest names."""


def digest_of(body: bytes) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    >>> digest_of(b"andon")[:12]
    '221827822432'
    """
    return hashlib.sha256(body).hexdigest()


def product_folder(product: str) -> str:
    """The name of a product's folder: one segment of a path or of an object's key.

    >>> product_folder("textile"), product_folder("AB/12 ö")
    ('textile', 'ab-12-o--db51c3d6e6300ad0')

    Raises:
        BundleError: it is no name.
    """
    if fault := fault_of(product):
        raise BundleError(f"product {product[:80]!r} {fault}")
    return key_of(product)


def folder_before(product: str) -> str | None:
    """The folder that a product without a plain name had up to version 0.2, where it had one."""
    return product if key_of(product) != product and _BEFORE.fullmatch(product) else None


def product_path(root: Path, product: str) -> Path:
    """The product's folder below ``root``, whether or not there is one yet.

    Raises:
        BundleError: it is no name, or another product's differs from it only in case: a file
            system that does not tell case apart would mix the two.
    """
    key, before = product_folder(product), folder_before(product)
    there = os.listdir(root) if root.is_dir() else []
    if before in there:
        return root / product
    for other in there:
        if key not in there and other != key and other.casefold() == key.casefold():
            raise BundleError(
                f"product {product!r} differs from {other!r}, which is in {root}, only in upper "
                "and lower case: write it alike, or give it another name"
            )
    return root / key


def write_bundle(root: Path, product: str, files: Mapping[str, bytes]) -> Path:
    """Write ``files`` below ``root/<product>/<digest>`` in one rename.

    What is there already is kept, and counts as written now: what was written last is in force
    where nobody says otherwise. Where it was damaged or copied in half, it is made whole.

    Args:
        root: folder of the products; made when absent.
        product: names the folder of its bundles.
        files: bytes by relative path, ``manifest.json`` among them.

    Raises:
        BundleError: the product is no name, or the folder cannot be written.
    """
    parent = product_path(root, product)
    target = parent / digest_of(files[MANIFEST])
    try:
        if target.is_dir():
            for name in _lacking(target, files):
                write_whole(target / name, files[name])
            os.utime(target / MANIFEST)
            return target
        parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(parent)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
        try:
            for name, body in files.items():
                (draft / name).parent.mkdir(exist_ok=True)
                (draft / name).write_bytes(body)
            draft.chmod(0o755)
            os.replace(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        if _lacking(target, files):  # else another process was first
            raise BundleError(f"{target}: cannot be written: {error}") from error
    return target


def remove_drafts(folder: Path) -> None:
    """Remove what somebody who was killed while writing left in a product's folder.

    A draft takes seconds; one that nobody has written to for a day will not be finished.
    """
    for draft in (*folder.glob(".new-*"), *folder.glob(".fetch-*")):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime < ABANDONED_S:
                continue
            if draft.is_dir():
                shutil.rmtree(draft)
            else:
                draft.unlink()


def _lacking(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """The names of ``files`` that a folder has not, or has otherwise; the manifest last."""
    found = []
    for name in sorted(files, key=lambda name: name == MANIFEST):
        try:
            same = (folder / name).read_bytes() == files[name]
        except OSError:
            same = False
        found += [] if same else [name]
    return found


def write_whole(path: Path, body: bytes) -> None:
    """Write a file so that nobody ever reads a part of it; its folder is made when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(body)
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


def read_file(path: Path, digest: str | None = None) -> bytes:
    """The file's bytes, checked against ``digest`` when one is given.

    Raises:
        BundleError: it is missing, cannot be read, or was altered.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from None
    if digest is not None:
        _check(path, digest, digest_of(body))
    return body


def map_file(path: Path, digest: str) -> mmap.mmap:
    """The file's bytes where the kernel keeps them, checked against ``digest``.

    A file that this process has checked is not read again while its inode, its size and its times
    stay the same. Who replaces it does so by a rename, as ``write_bundle``: what is cut short in
    place is cut short under the reader.

    Raises:
        BundleError: it is missing, empty, cannot be read, or was altered.
    """
    try:
        with path.open("rb") as file:
            seen = os.fstat(file.fileno())
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None
    state = (digest, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    if _checked.get(path) != state:
        _check(path, digest, hashlib.sha256(mapped).hexdigest())
        if time.time_ns() - seen.st_ctime_ns > SETTLED_NS:
            _checked[path] = state
    return mapped


SETTLED_NS: Final = 1_000_000_000
"""A file that changed so lately may change again and keep its times: the kernel's are coarse."""
_checked: dict[Path, tuple[str, int, int, int, int]] = {}
"""What each mapped file was when its bytes were compared with their digest."""


def _check(path: Path, digest: str, actual: str) -> None:
    if actual != digest:
        raise BundleError(
            f"{path}: truncated or altered since it was written (SHA-256 {actual[:12]}..., "
            f"expected {digest[:12]}...); restore the folder or make it again"
        )
