"""A camera whose pictures are the original bytes of files, in a stated order."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from connectors.cameras.own_threads import OwnThreads
from connectors.errors import CameraSpecError, CaptureError
from streams.images.files import CONTENT_TYPES
from streams.images.layout import child, photographs
from streams.ports import Picture, Trigger
from streams.tables import TableError, is_file, located, read_lines

log = structlog.get_logger(__name__)


class FolderCamera:
    """Replays files. The picture of a trigger is ``files[(trigger_seq - 1) % n]``.

    So a restarted gateway goes on at the right part, and a list is the plan of a run.
    """

    def __init__(self, files: Sequence[Path], root: Path | None = None) -> None:
        self._files = tuple(files)
        self._root = root
        self._threads = OwnThreads(str(root or self._files[0].parent))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files in the order of the triggers."""
        return self._files

    @classmethod
    def over_folder(cls, folder: Path) -> "FolderCamera":
        """A flat folder, or ``test/**`` of an MVTec-layout folder; sorted by path.

        Raises:
            CameraSpecError: no such folder, or no picture in it.
        """
        tested = child(folder, "test")
        root = tested if tested.is_dir() else folder
        files = photographs(root)
        if not files:
            raise CameraSpecError(
                f"camera folder:{folder}: no pictures there; expected files "
                f"({', '.join(sorted(CONTENT_TYPES))}) in it, or an MVTec layout with "
                "test/<class>/*"
            )
        return cls(files, root)

    @classmethod
    def over_list(cls, listing: Path) -> "FolderCamera":
        """One path per line, in the order of the triggers; relative to the list's folder.

        A line that begins with ``#`` is a comment, unless it names a file.

        Raises:
            CameraSpecError: the list cannot be read, is empty, or names no file that is there.
        """
        try:
            lines = list(read_lines(listing))
        except TableError as error:
            raise CameraSpecError(f"camera list:{error}") from None
        named = [(number, text, located(listing.parent, text)) for number, text in lines]
        named = [n for n in named if is_file(n[2]) or not n[1].lstrip().startswith("#")]
        if not named:
            raise CameraSpecError(f"camera list:{listing}: the list is empty")
        absent = [(number, path) for number, _, path in named if not is_file(path)]
        if len(absent) == len(named):
            number, path = absent[0]
            raise CameraSpecError(
                f"camera list:{listing}:{number}: none of its {len(named)} files is there; "
                f"the first would be {path}"
            )
        if absent:
            first = f"line {absent[0][0]}: {absent[0][1]}"
            log.warning("camera.list", absent=len(absent), of=len(named), first=first)
        return cls([path for _, _, path in named])

    async def open(self) -> None:
        """Find out whether the first file is there; nothing needs to warm up."""
        if not await self._threads.call(self._files[0].is_file):
            raise CaptureError(f"{self._files[0]}: no such file")

    async def capture(self, trigger: Trigger) -> Picture:
        path = self._files[(trigger.trigger_seq - 1) % len(self._files)]
        try:
            data = await self._threads.call(path.read_bytes)
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
