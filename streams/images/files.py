"""Which files are pictures: the kinds that the decoder reads, without what systems leave beside."""

from pathlib import Path

CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".mpo": "image/jpeg",
    ".bmp": "image/bmp",
    ".dib": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".pgm": "image/x-portable-graymap",
    ".ppm": "image/x-portable-pixmap",
    ".pbm": "image/x-portable-bitmap",
    ".pnm": "image/x-portable-anymap",
}
"""Media type by suffix, in lower case: the kinds that the decoder reads."""
_NOT_OURS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
"""Folders, in lower case, that systems put beside pictures."""


def is_picture(path: Path) -> bool:
    """Whether a name is that of a picture: by suffix, and not hidden (``._001.png``).

    >>> [is_picture(Path(name)) for name in ("1.PNG", "._1.png", "Thumbs.db")]
    [True, False, False]
    """
    return path.suffix.lower() in CONTENT_TYPES and not path.name.startswith(".")


def list_pictures(folder: Path) -> list[Path]:
    """Every picture under ``folder``, sorted; hidden folders and those of systems left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_picture(path)
        and not any(is_passed_over(part) for part in path.relative_to(folder).parts[:-1])
        and path.is_file()
    )


def is_passed_over(name: str) -> bool:
    """Whether a folder of this name holds no parts: hidden, or a system's own."""
    return name.startswith(".") or name.lower() in _NOT_OURS
