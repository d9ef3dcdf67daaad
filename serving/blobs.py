"""Where bundles are kept: objects by key, in a folder or in S3."""

from pathlib import Path
from typing import Protocol

from serving.bundles import write_whole
from serving.errors import StoreError


class Blobs(Protocol):
    """Where bundles are kept. Keys are relative POSIX paths; every method may raise AndonError."""

    def get(self, key: str) -> bytes | None:
        """The object, or None where there is none."""
        ...

    def keys(self, prefix: str) -> dict[str, float]:
        """Every key under ``prefix`` (empty, or ending in ``/``): time of writing, Unix seconds."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Store the object whole; the same key again is replaced."""
        ...


class FolderBlobs:
    """Objects as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> bytes | None:
        try:
            return inside(self.root, key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.root / key}: cannot be read: {error}") from error

    def put(self, key: str, body: bytes) -> None:
        try:
            write_whole(inside(self.root, key), body)
        except OSError as error:
            raise StoreError(f"{self.root / key}: cannot be written: {error}") from error

    def keys(self, prefix: str) -> dict[str, float]:
        base = inside(self.root, prefix) if prefix else self.root
        if not base.is_dir():
            return {}
        return {
            path.relative_to(self.root).as_posix(): path.stat().st_mtime
            for path in base.rglob("*")
            if path.is_file() and not any(p.startswith(".") for p in path.relative_to(base).parts)
        }


def inside(root: Path, name: str) -> Path:
    """The file of a key below ``root``.

    Raises:
        StoreError: it would lie elsewhere.
    """
    target = root / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise StoreError(f"{name!r} leaves the store")
    return target
