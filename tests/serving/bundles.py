"""How bundles come to lie in a folder or in S3: what an operator does by copying."""

from collections.abc import Callable
from pathlib import Path


def write_file(root: Path, key: str, body: bytes) -> None:
    """Write one object of a folder."""
    (root / key).parent.mkdir(parents=True, exist_ok=True)
    (root / key).write_bytes(body)


def copy_bundle(put: Callable[[str, bytes], None], product: str, folder: Path) -> None:
    """Put every file of a bundle, its manifest last."""
    files = (path for path in folder.rglob("*") if path.is_file())
    for path in sorted(files, key=lambda path: path.name == "manifest.json"):
        put(f"{product}/{folder.name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
