"""What the reader of one kind of file gives: pixels as they stand there, and what it knows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.errors import UndecodableImageError

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Samples = Bytes | Words

MAX_PIXELS = 200_000_000
"""Largest picture decoded, pixels: a bound on memory, not a limit of the experts."""
_MOST_BYTES = 200_000_000
"""Memory that a picture may need however few bytes its file has."""
_SPARSE = 25
"""Pixels a byte of the file above which a large picture is no photograph."""


@dataclass(frozen=True, eq=False)
class Raw:
    """Pixels before the rules that all kinds of file share."""

    samples: Samples
    """Grey (height, width) or RGB (height, width, 3), uint8 or uint16."""
    alpha: Samples | None = None
    """Opacity (height, width), where the file has it."""
    white: int | None = None
    """The value of white where the file states it; of uint16 without it, bits are counted."""
    orientation: int = 1
    """EXIF orientation, 1 to 8."""
    frames: int = 1
    """Pages or frames in the file; the pixels are those of the first."""
    inverted: bool = False
    """Whether the file counts from white to black."""


def damaged(reason: str) -> UndecodableImageError:
    """The error for a picture that lost or changed bytes."""
    return UndecodableImageError(f"truncated or damaged: {reason}")


def check_size(width: int, height: int, file_bytes: int, bytes_a_pixel: int = 7) -> None:
    """Refuse what cannot be a photograph before any memory is taken for it.

    Args:
        width: pixels.
        height: pixels.
        file_bytes: size of the file.
        bytes_a_pixel: memory that decoding takes, the RGB result included.

    Raises:
        UndecodableImageError: no pixels, too many, or far more than so few bytes describe.
    """
    pixels = width * height
    if width < 1 or height < 1:
        raise damaged(f"the picture is {width}x{height} pixels")
    if pixels > MAX_PIXELS:
        raise UndecodableImageError(
            f"{width}x{height} pixels exceed the limit of {MAX_PIXELS // 10**6} megapixels"
        )
    if pixels * bytes_a_pixel > _MOST_BYTES and pixels > _SPARSE * file_bytes:
        raise UndecodableImageError(
            f"{width}x{height} pixels in {file_bytes} bytes are no photograph: "
            "a decompression bomb, or damaged"
        )
