"""Bundles (``serving.bundles``) of experts and exemplars in a folder or in S3, cached and verified.

The layout is the same in both: a trained folder is copied to S3 as it is, its manifest last. The
files that a manifest names are checked when the bundle is opened. The latest version is what was
written last: a bundle, or ``<product>/latest.json`` with ``{"digest": ...}``, which points back to
an older one.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from serving.bundles import DIGEST, MANIFEST, BundleError, product_folder, read_file
from serving.errors import StoreError

POINTER = "latest.json"


class Blobs(Protocol):
    """Where bundles are read. Keys are relative POSIX paths; every method may raise AndonError."""

    def get(self, key: str) -> bytes | None:
        """The object, or None where there is none."""
        ...

    def keys(self, prefix: str) -> dict[str, float]:
        """Every key under ``prefix`` (empty, or ending in ``/``): time of writing, Unix seconds."""
        ...


class BundleStore:
    """Bundles by product and digest.

    Args:
        blobs: where they are kept.
        cache: local folder for what is fetched; may be shared by processes.
    """

    def __init__(self, blobs: Blobs, cache: Path) -> None:
        self._blobs = blobs
        self._cache = cache

    def products(self) -> dict[str, str]:
        """Every product that has a version, with its newest digest.

        Raises:
            StoreError: a pointer is damaged.
        """
        found: dict[str, tuple[float, str]] = {}
        for key, written in self._blobs.keys("").items():
            match key.split("/"):
                case [product, digest, name] if name == MANIFEST and DIGEST.fullmatch(digest):
                    candidate = (written, digest)
                case [product, name] if name == POINTER:
                    candidate = (written, POINTER)
                case _:
                    continue
            # a pointer written in the same instant as a bundle is the later word
            if product not in found or candidate >= found[product]:
                found[product] = candidate
        return {
            product: self._pointed(product) if what == POINTER else what
            for product, (_, what) in sorted(found.items())
        }

    def _pointed(self, product: str) -> str:
        body = self._blobs.get(f"{_segment(product)}/{POINTER}") or b""
        try:
            return _checked(str(json.loads(body)["digest"]))
        except (ValueError, KeyError, TypeError, StoreError):
            raise StoreError(
                f"{product}/{POINTER} is damaged: delete it, or train the product again"
            ) from None

    def fetch(self, product: str, digest: str) -> Path:
        """The bundle's local folder, downloaded once and then read from the cache.

        Raises:
            StoreError: absent, or its manifest is not the one that ``digest`` names.
        """
        prefix = f"{_segment(product)}/{_checked(digest)}/"
        folder = self._cache / _segment(product) / digest
        if not (folder / MANIFEST).is_file():
            self._download(prefix, folder, f"{product} {digest[:12]}")
        try:
            read_file(folder / MANIFEST, digest)
        except BundleError as error:
            raise StoreError(f"{error}; the folder may be deleted and is fetched again") from None
        return folder

    def _download(self, prefix: str, folder: Path, what: str) -> None:
        names = [key.removeprefix(prefix) for key in self._blobs.keys(prefix)]
        if MANIFEST not in names:
            raise StoreError(f"{what}: not in the store; train it, or name another digest")
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
        try:
            for name in names:
                body = self._blobs.get(prefix + name)
                if body is None:
                    raise StoreError(f"{what}: {name} vanished while it was fetched; try again")
                target = _inside(fresh, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(body)
            try:
                os.replace(fresh, folder)
            except OSError:
                if not (folder / MANIFEST).is_file():  # else another process was first
                    raise
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


class FolderBlobs:
    """Objects as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> bytes | None:
        try:
            return _inside(self._root, key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._root / key}: cannot be read: {error}") from error

    def keys(self, prefix: str) -> dict[str, float]:
        base = _inside(self._root, prefix) if prefix else self._root
        if not base.is_dir():
            return {}
        return {
            path.relative_to(self._root).as_posix(): path.stat().st_mtime
            for path in base.rglob("*")
            if path.is_file() and not any(p.startswith(".") for p in path.relative_to(base).parts)
        }


def open_folder(root: Path) -> BundleStore:
    """A store in a local folder; it is its own cache."""
    return BundleStore(FolderBlobs(root), root)


def split_s3(location: str) -> tuple[str, str]:
    """Bucket and prefix (``""`` or ending in ``/``) of ``s3://bucket/prefix``.

    >>> split_s3("s3://andon/artifacts")
    ('andon', 'artifacts/')

    Raises:
        StoreError: the bucket is missing.
    """
    parts = urlsplit(location)
    if not parts.netloc:
        raise StoreError(f"{location!r}: expected s3://bucket/prefix")
    prefix = parts.path.strip("/")
    return parts.netloc, prefix + "/" if prefix else ""


def _segment(product: str) -> str:
    try:
        return product_folder(product)
    except BundleError as error:
        raise StoreError(str(error)) from None


def _checked(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise StoreError(f"{digest!r} is no digest: expected 64 hexadecimal digits")
    return digest


def _inside(root: Path, name: str) -> Path:
    target = root / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise StoreError(f"{name!r} leaves the store")
    return target
