"""A camera whose pictures are the original bytes of files, in a stated order."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from connectors.errors import CameraSpecError, CaptureError
from streams.ports import Picture, Trigger

CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}


class FolderCamera:
    """Replays files. The picture of a trigger is ``files[(trigger_seq - 1) % n]``.

    So a restarted gateway goes on at the right part, and a list is the plan of a run.
    """

    def __init__(self, files: Sequence[Path], root: Path | None = None) -> None:
        self._files = tuple(files)
        self._root = root

    @classmethod
    def over_folder(cls, folder: Path) -> "FolderCamera":
        """A flat folder, or ``test/**`` of an MVTec-layout folder; sorted by path.

        Raises:
            CameraSpecError: no such folder, or no picture in it.
        """
        root = folder / "test" if (folder / "test").is_dir() else folder
        files = sorted(p for p in root.rglob("*") if p.suffix.lower() in CONTENT_TYPES)
        if not files:
            raise CameraSpecError(
                f"camera folder:{folder}: no pictures there; expected files like *.jpg or *.png "
                "in it, or an MVTec layout with test/<class>/*"
            )
        return cls(files, root)

    @classmethod
    def over_list(cls, listing: Path) -> "FolderCamera":
        """One path per line, in the order of the triggers; relative to the list's folder.

        Raises:
            CameraSpecError: the list cannot be read or is empty.
        """
        try:
            lines = listing.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise CameraSpecError(f"camera list:{listing}: {error}") from error
        files = [listing.parent / line for line in lines if line.strip()]
        if not files:
            raise CameraSpecError(f"camera list:{listing}: the list is empty")
        return cls(files)

    async def open(self) -> None:
        """Find out whether the first file is there; nothing needs to warm up."""
        if not await asyncio.to_thread(self._files[0].is_file):
            raise CaptureError(f"{self._files[0]}: no such file")

    async def capture(self, trigger: Trigger) -> Picture:
        path = self._files[(trigger.trigger_seq - 1) % len(self._files)]
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise CaptureError(f"{path}: {error.strerror}") from error
        content_type = CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")
        return Picture(data, content_type, self._name(path))

    async def close(self) -> None:
        """Files need no closing."""

    def _name(self, path: Path) -> str:
        if self._root is not None:
            return path.relative_to(self._root).as_posix()
        return "/".join(path.parts[-2:])
