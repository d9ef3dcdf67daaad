"""Bundles (``serving.bundles``) of experts and exemplars in a folder or in S3, cached and verified.

The layout is the same in both. The files that a manifest names are checked when the bundle is
opened. The latest version is what was written last: a bundle, or ``<product>/latest.json``, which
points back to an older one.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from serving.bundles import DIGEST, MANIFEST, BundleError, digest_of, product_folder, read_file
from serving.errors import StoreError

POINTER = "latest.json"


class Blobs(Protocol):
    """Where bundles are kept. Keys are relative POSIX paths; every method may raise AndonError."""

    def get(self, key: str) -> bytes | None:
        """The object, or None where there is none."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Write whole or not at all."""
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

    def put(self, product: str, folder: Path) -> str:
        """Store the bundle in ``folder``, make it the latest version, return its digest.

        Args:
            product: any text without slashes.
            folder: holds ``manifest.json``, which is written last; files below it keep their paths.

        Raises:
            StoreError: no manifest, or the store cannot be written.
        """
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise StoreError(f"{folder}: no {MANIFEST}; is this a trained artifact?")
        digest = digest_of(manifest.read_bytes())
        prefix = f"{_segment(product)}/{digest}/"
        if self._blobs.get(prefix + MANIFEST) is None:
            for path in _files(folder):
                name = path.relative_to(folder).as_posix()
                if name != MANIFEST:
                    self._blobs.put(prefix + name, path.read_bytes())
            self._blobs.put(prefix + MANIFEST, manifest.read_bytes())
        if self.latest(product) != digest:
            self.point(product, digest)
        return digest

    def point(self, product: str, digest: str) -> None:
        """Make ``digest`` the version that ``latest`` names: how a release is rolled back."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        body = json.dumps({"digest": _checked(digest), "pointed_at": now})
        self._blobs.put(f"{_segment(product)}/{POINTER}", body.encode())

    def latest(self, product: str) -> str | None:
        """The digest of the newest version, or None for an unknown product.

        Raises:
            StoreError: the pointer is damaged.
        """
        return self._newest(self._blobs.keys(f"{_segment(product)}/")).get(product)

    def products(self) -> dict[str, str]:
        """Every product that has a version, with its newest digest."""
        return self._newest(self._blobs.keys(""))

    def _newest(self, keys: Mapping[str, float]) -> dict[str, str]:
        found: dict[str, tuple[float, str]] = {}
        for key, written in keys.items():
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

    def put(self, key: str, body: bytes) -> None:
        target = _inside(self._root, key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as fresh:
                fresh.write(body)
                fresh.flush()
                os.fsync(fresh.fileno())
            os.chmod(fresh.name, 0o644)
            os.replace(fresh.name, target)
        except OSError as error:
            raise StoreError(f"{target}: cannot be written: {error}") from error

    def keys(self, prefix: str) -> dict[str, float]:
        base = _inside(self._root, prefix) if prefix else self._root
        if not base.is_dir():
            return {}
        return {p.relative_to(self._root).as_posix(): p.stat().st_mtime for p in _files(base)}


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


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            yield path
