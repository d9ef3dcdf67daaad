"""Pictures as the experts take them, the same in training and serving.

``streams.images`` decodes; here are its errors in the experts' own tree, and what was decided about
a picture is said once.
"""

import logging
from pathlib import Path

import numpy as np

from serving.experts.errors import UndecodableImage
from serving.experts.types import Image, Mask
from streams.errors import UndecodableImageError
from streams.images.decoding import DecodedImage, TooDeepError, decode
from streams.images.files import CONTENT_TYPES
from streams.images.files import list_pictures as list_images

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(CONTENT_TYPES)
LEAST_SIDE_PX = 32
"""Of a photograph that an expert learns from: a thumbnail or one line of pixels shows no part."""
_MOST_SAID = 100
_said: set[str] = set()

__all__ = [
    "IMAGE_SUFFIXES",
    "LEAST_SIDE_PX",
    "DecodedImage",
    "DeeperImage",
    "decode_image",
    "decode_noted",
    "fault_of_picture",
    "fault_of_size",
    "list_images",
    "read_image",
    "read_marked",
    "read_noted",
]


class DeeperImage(UndecodableImage):
    """A pixel needs more bits than were said; ``bits`` is how many."""

    def __init__(self, message: str, bits: int) -> None:
        super().__init__(message)
        self.bits = bits


def decode_image(data: bytes, bits: int | None = None) -> Image:
    """Decode an encoded image to uint8 RGB of shape (height, width, 3); what was decided is logged.

    Args:
        data: see :func:`streams.images.decoding.decode`.
        bits: bits of the camera's pixels in 16-bit files, as the artifact states them.

    Raises:
        UndecodableImage: empty, truncated, not an image, or larger than the limit.

    >>> decode_image(b"P5 2 1 255 " + bytes([0, 255])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    return _told(decode_noted(data, bits), "")


def read_image(path: Path, bits: int | None = None) -> Image:
    """Decode the image file at ``path``; errors name the file.

    Raises:
        UndecodableImage: unreadable or undecodable.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_image(Path(folder) / "none.png")
    Traceback (most recent call last):
    serving.experts.errors.UndecodableImage: .../none.png: cannot be read: No such file or directory
    """
    return _told(read_noted(path, bits), f"{path}: ")


def read_marked(place: Path) -> Mask:
    """What a ground-truth mask marks, bool (height, width): above 127, or any value if nothing is.

    Marks may have any colour: the brightest channel counts.

    Args:
        place: a picture, or a folder of pictures of one size, whose marks are united (MVTec LOCO).

    Raises:
        UndecodableImage: one cannot be read, or is of another size than the others.
    """
    found: Mask | None = None
    for path in list_images(place) if place.is_dir() else [place]:
        grey = read_image(path).max(axis=2)
        marked = np.asarray(grey > 127 if (grey > 127).any() else grey > 0, np.bool_)
        if found is not None and found.shape != marked.shape:
            raise UndecodableImage(f"{path}: its size is not that of the masks beside it")
        found = marked if found is None else found | marked
    if found is None:
        raise UndecodableImage(f"{place}: no mask in this folder")
    return found


def fault_of_size(height: int, width: int) -> str:
    """What is wrong with a photograph's size, pixels, for learning; empty where nothing is.

    >>> fault_of_size(480, 640)
    ''
    """
    if min(height, width) >= LEAST_SIDE_PX:
        return ""
    return f"{width}x{height} pixels are too few: at least {LEAST_SIDE_PX} on each side"


def fault_of_picture(data: bytes) -> str:
    """Why an expert cannot learn from an encoded photograph; empty where it can."""
    try:
        return fault_of_size(*decode_noted(data).pixels.shape[:2])
    except UndecodableImage as error:
        return str(error)


def decode_noted(data: bytes, bits: int | None = None) -> DecodedImage:
    """The decoded image with its depth and notes.

    Raises:
        UndecodableImage: as :func:`decode_image`; ``DeeperImage`` where ``bits`` are too few.
    """
    try:
        return decode(data, bits)
    except TooDeepError as error:
        raise DeeperImage(str(error), error.bits) from None
    except UndecodableImageError as error:
        raise UndecodableImage(str(error)) from None


def read_noted(path: Path, bits: int | None = None) -> DecodedImage:
    """The decoded file with its depth and notes.

    Raises:
        UndecodableImage: as :func:`read_image`; ``DeeperImage`` where ``bits`` are too few.
    """
    try:
        return decode_noted(path.read_bytes(), bits)
    except OSError as error:
        raise UndecodableImage(f"{path}: cannot be read: {error.strerror}") from None
    except DeeperImage as error:
        raise DeeperImage(f"{path}: {error}", error.bits) from None
    except UndecodableImage as error:
        raise UndecodableImage(f"{path}: {error}") from None


def _told(found: DecodedImage, where: str) -> Image:
    """The pixels; each note is logged the first time that a process meets it."""
    for note in found.notes:
        if note not in _said and len(_said) < _MOST_SAID:
            _said.add(note)
            log.warning("%s%s (said once)", where, note)
    return found.pixels
