"""Figures of an encoded picture, and the limits of a product read from their file."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from connectors.cameras.health import PictureFigures, figures_of
from connectors.cameras.normals import NormalLimits
from connectors.errors import NormalsError
from streams.images.png import white_of

_DEPTHS = (10, 12, 14, 16)


Grey = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def measured(data: bytes) -> PictureFigures | None:
    """Figures of a PNG, JPEG or other picture; None: it is none."""
    grey = grey_of(data)
    return None if grey is None else figures_of(grey)


def grey_of(data: bytes) -> Grey | None:
    """Grey pixels of shape (height, width), 16-bit ones over all of their range; None: none."""
    import cv2

    try:
        raw = np.frombuffer(data, np.uint8)
        kind = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE
        pixels = cv2.imdecode(raw, kind)
    except cv2.error:
        return None
    if pixels is None or pixels.ndim != 2:
        return None
    if pixels.dtype == np.uint16:
        return _full_range(np.asarray(pixels, np.uint16), white_of(data))
    return np.asarray(pixels, np.uint8)


def read_grey(path: Path) -> Grey:
    """Grey pixels of a file. Raises ``NormalsError``: it cannot be read, or is no picture."""
    try:
        found = grey_of(path.read_bytes())
    except OSError as error:
        raise NormalsError(f"{path}: {error.strerror}") from None
    if found is None:
        raise NormalsError(f"{path}: not a picture that can be measured")
    return found


def read_limits(path: Path) -> NormalLimits:
    """What ``andon camera normals`` wrote. Raises ``NormalsError``."""
    try:
        return NormalLimits.from_json(path.read_text("utf-8"))
    except OSError as error:
        raise NormalsError(
            f"{path}: {error.strerror}; measure it by `andon camera normals FOLDER --out {path}`"
        ) from None
    except (NormalsError, UnicodeDecodeError) as error:
        raise NormalsError(f"{path}: {error}") from None


def _full_range(pixels: npt.NDArray[np.uint16], white: int | None) -> npt.NDArray[np.uint16]:
    """Pixels of 10 to 16 bits, stretched by the bits that they say they have, or else need."""
    most = white or int(pixels.max())
    bits = next(depth for depth in _DEPTHS if most < 1 << depth)
    stretched: npt.NDArray[np.uint16] = pixels << np.uint16(16 - bits)
    return stretched
