"""Bundles (``serving.bundles``) of experts and exemplars in a folder or in S3, cached and verified.

The layout is the same in both: a trained folder is copied to S3 as it is, its manifest last. The
files that a manifest names are checked when the bundle is opened.

In a product's folder, ``latest.json`` with ``{"digest": ...}`` says which version is in force, or
with null that none is; a product without it has the bundle that was written last. ``shadow.json``
names in the same form a version that is scored beside it, and ``notes/<digest>.json`` holds what is
known of a version and is no part of it.
"""

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from serving.blobs import Blobs, FolderBlobs, inside
from serving.bundles import (
    DIGEST,
    MANIFEST,
    BundleError,
    digest_of,
    folder_before,
    product_folder,
    read_file,
    remove_drafts,
    write_whole,
)
from serving.errors import DamagedPointerError, StoreError
from streams.errors import AndonError
from streams.names import is_derived

log = structlog.get_logger(__name__)
T = TypeVar("T")
POINTER = "latest.json"
_SERVED = ".served.json"
SHADOW = "shadow.json"


class BundleStore:
    """Bundles by product and digest.

    Args:
        blobs: where they are kept.
        cache: local folder for what is fetched; may be shared by processes.
    """

    def __init__(self, blobs: Blobs, cache: Path) -> None:
        self._blobs = blobs
        self._cache = cache
        self._copies = not (isinstance(blobs, FolderBlobs) and blobs.root == cache)
        self._folders: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def products(self, damaged: dict[str, str] | None = None) -> dict[str, str]:
        """Every product that has a version, with the digest of the one in force.

        Args:
            damaged: receives, by product, why it cannot be said which of its versions is in force;
                without it that is raised.

        Raises:
            StoreError: the store cannot be read.
            DamagedPointerError: a pointer is damaged, or a manifest does not name its product.
        """
        newest: dict[str, tuple[float, str]] = {}
        pointed = set()
        for key, written in self._blobs.keys("").items():
            match key.split("/"):
                case [product, digest, name] if name == MANIFEST and DIGEST.fullmatch(digest):
                    newest[product] = max(newest.get(product, (written, digest)), (written, digest))
                case [product, name] if name == POINTER:
                    pointed.add(product)
        found: dict[str, str] = {}
        for folder in sorted(newest.keys() | pointed):
            name, latest = folder, newest[folder][1] if folder in newest else None
            try:
                name = self._name_of(folder, latest) if latest else folder
                said = self._pointed(folder, POINTER) if folder in pointed else latest
                if said is not None:
                    found[self._name_of(folder, said)] = said
            except DamagedPointerError as error:
                if damaged is None:
                    raise
                damaged[name] = str(error)
        return dict(sorted(found.items()))

    def versions(self, product: str) -> dict[str, float]:
        """Digest of every version of a product, with the time it was written, Unix seconds."""
        found = {}
        for key, written in self._blobs.keys(f"{self._folder(product)}/").items():
            match key.split("/"):
                case [_, digest, name] if name == MANIFEST and DIGEST.fullmatch(digest):
                    found[digest] = written
        return found

    def pointed(self, product: str, name: str = POINTER) -> str | None:
        """The digest that a pointer of the product names; None where nothing is named.

        Args:
            name: ``POINTER``, or ``SHADOW`` for the version that is scored beside.

        Raises:
            DamagedPointerError: the pointer is damaged.
        """
        return self._pointed(self._folder(product), name)

    def in_force(self, product: str) -> str | None:
        """The digest that ``products`` would name, read without looking at any other product."""
        folder = self._folder(product)
        if self._blobs.get(f"{folder}/{POINTER}") is not None:
            return self._pointed(folder, POINTER)
        written = {when: digest for digest, when in sorted(self.versions(product).items())}
        return written[max(written)] if written else None

    def _pointed(self, folder: str, name: str) -> str | None:
        body = self._blobs.get(f"{folder}/{name}")
        if body is None:
            return None
        try:
            said = json.loads(body)["digest"]
            return None if said is None else _checked(str(said))
        except (ValueError, KeyError, TypeError, StoreError):
            raise DamagedPointerError(
                f"{folder}/{name} is damaged: delete it, or `andon models use` a version"
            ) from None

    def point(self, product: str, digest: str | None, name: str = POINTER) -> None:
        """Let a pointer name a version of the store, or none.

        Raises:
            StoreError: the version is not in the store, or its manifest was altered.
        """
        if digest is not None:
            self.manifest(product, digest)
        body = json.dumps({"digest": digest}).encode()
        self._blobs.put(f"{self._folder(product)}/{name}", body)

    def manifest(self, product: str, digest: str) -> dict[str, object]:
        """The manifest of a version, checked against its digest.

        Raises:
            StoreError: absent, altered, or no JSON object.
        """
        body = self._blobs.get(f"{self._folder(product)}/{_checked(digest)}/{MANIFEST}")
        what = f"{product} {digest[:12]}"
        if body is None:
            raise StoreError(
                f"{what}: not in the store; "
                f"`andon models list --product {shlex.quote(product)}` says what is"
            )
        if digest_of(body) != digest:
            raise StoreError(f"{what}: its manifest was altered since it was written")
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise StoreError(f"{what}: its manifest is no JSON object")
        return found

    def add(self, product: str, folder: Path) -> None:
        """Copy a bundle's folder into the store, its manifest last; what is there whole is left."""
        digest = folder.name
        into = f"{self._folder(product)}/{_checked(digest)}"
        there = self._blobs.keys(f"{into}/")
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == MANIFEST):
            key, body = f"{into}/{path.relative_to(folder).as_posix()}", path.read_bytes()
            if key not in there or self._blobs.get(key) != body:
                self._blobs.put(key, body)

    def note(self, product: str, digest: str) -> bytes | None:
        """What was noted of a version, if anything was."""
        return self._blobs.get(f"{self._folder(product)}/notes/{_checked(digest)}.json")

    def put_note(self, product: str, digest: str, body: bytes) -> None:
        """Note something of a version; what was noted before is replaced."""
        self._blobs.put(f"{self._folder(product)}/notes/{_checked(digest)}.json", body)

    def remember(self, versions: Mapping[str, str]) -> None:
        """Note on this host what it serves, so that a process that starts anew can go on with it.

        Raises:
            OSError: the cache cannot be written.
        """
        write_whole(self._cache / _SERVED, json.dumps(dict(versions)).encode())

    def remembered(self) -> dict[str, str]:
        """What this host served last, by product; empty when that is not known."""
        try:
            said = json.loads((self._cache / _SERVED).read_bytes())
            return {str(product): _checked(str(digest)) for product, digest in said.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, StoreError) as error:
            log.warning("served_before_unknown", file=str(self._cache / _SERVED), reason=str(error))
            return {}

    def fetch(self, product: str, digest: str) -> Path:
        """The bundle's local folder, downloaded once and then read from the cache.

        Raises:
            StoreError: absent, or its manifest is not the one that ``digest`` names.
        """
        folder = self._cached(product, digest)
        if not (folder / MANIFEST).is_file():
            self._download(product, digest, folder)
        try:
            read_file(folder / MANIFEST, digest)
        except BundleError as error:
            raise StoreError(str(error)) from None
        return folder

    def opened(self, product: str, digest: str, how: Callable[[Path], T]) -> T:
        """What ``how`` makes of the bundle's local folder.

        A copy in the cache that it refuses is fetched anew, once: it was torn, or fetched while
        the bundle was still being uploaded.

        Raises:
            StoreError: as ``fetch``; and what ``how`` raises.
        """
        folder = self._cached(product, digest)
        was_copied = self._copies and folder.is_dir()
        try:
            return how(self.fetch(product, digest))
        except Exception as refusal:
            if not was_copied:
                raise
            try:
                self._download(product, digest, folder)
            except AndonError:
                raise refusal from None
        return how(self.fetch(product, digest))

    def files(self, product: str, digest: str) -> dict[str, float]:
        """When each file of a version was written, Unix seconds: another answer than before while
        it is being copied; none where the store cannot be read."""
        try:
            return self._blobs.keys(f"{self._folder(product)}/{_checked(digest)}/")
        except AndonError:
            return {}

    def _cached(self, product: str, digest: str) -> Path:
        return self._cache / self._folder(product) / _checked(digest)

    def _folder(self, product: str) -> str:
        """The product's folder in the store; a store of before may call it otherwise."""
        if product not in self._folders:
            try:
                found, before = product_folder(product), folder_before(product)
            except BundleError as error:
                raise StoreError(str(error)) from None
            if before is not None and self._blobs.keys(f"{before}/"):
                found = before
            self._folders[product] = found
        return self._folders[product]

    def _name_of(self, folder: str, digest: str) -> str:
        """The product of a folder: the manifest of a version says it where the folder does not."""
        if not is_derived(folder):
            return folder
        if folder not in self._names:
            try:
                manifest = json.loads(self._blobs.get(f"{folder}/{digest}/{MANIFEST}") or b"{}")
                self._names[folder] = str(manifest.get("product") or manifest["product_id"])
            except (ValueError, KeyError, AttributeError):
                raise DamagedPointerError(
                    f"{folder}: the manifest of {digest[:12]} does not name its product"
                ) from None
        return self._names[folder]

    def _download(self, product: str, digest: str, folder: Path) -> None:
        """Copy a bundle to ``folder``, in place of what is there, in one rename."""
        what, prefix = f"{product} {digest[:12]}", f"{self._folder(product)}/{digest}/"
        names = [key.removeprefix(prefix) for key in self._blobs.keys(prefix)]
        if MANIFEST not in names:
            raise StoreError(f"{what}: not in the store; train it, or name another digest")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            remove_drafts(folder.parent)
            fresh = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
            try:
                for name in names:
                    body = self._blobs.get(prefix + name)
                    if body is None:
                        raise StoreError(f"{what}: {name} vanished while it was fetched; try again")
                    target = inside(fresh, name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(body)
                with suppress(FileNotFoundError):
                    os.rename(folder, fresh.with_suffix(".old"))
                try:
                    os.replace(fresh, folder)
                except OSError:
                    if not (folder / MANIFEST).is_file():  # else another process was first
                        raise
            finally:
                for left in (fresh, fresh.with_suffix(".old")):
                    shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written: {error}") from error


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


def _checked(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise StoreError(f"{digest!r} is no digest: expected 64 hexadecimal digits")
    return digest
