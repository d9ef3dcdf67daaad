"""A written folder as one file that is sent, and selections that are not too large for it."""

import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKED = (".png", ".parquet")
"""What is compressed already."""
_CHUNK = 1 << 18
_LINES = 500


@contextmanager
def room_for_an_export() -> Iterator[Path]:
    """A folder of this process's own that is gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="andon-export-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def zipped(folder: Path, target: Path) -> Path:
    """Every file of a folder in a ZIP file, under its path within the folder."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                is_packed = path.suffix in _PACKED
                way = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
                archive.write(path, path.relative_to(folder), way)
    return target


def pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, some at a time."""
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            yield piece


async def in_batches(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Lines joined, so that each write carries many."""
    batch: list[str] = []
    async for line in lines:
        batch.append(line)
        if len(batch) == _LINES:
            yield "".join(batch)
            batch.clear()
    yield "".join(batch)
