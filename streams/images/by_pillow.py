"""Codecs of Pillow and OpenCV behind one door: pixels, or the one error."""

import io
import warnings

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as pillow
from PIL import UnidentifiedImageError

from streams.errors import UndecodableImageError
from streams.images.raw import Raw, Words, check_size, damaged

_WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_BYTES_A_PIXEL = {"L": 4, "1": 5, "I;16": 6, "I;16L": 6, "I;16B": 6}
"""Memory that decoding takes by mode, the RGB result included."""


def through_pillow(data: bytes, kind: str) -> Raw:
    """The first page as grey or RGB samples, with alpha apart.

    Args:
        data: a file of one kind, free of what its pixels do not need.
        kind: Pillow's name of the kind.

    Raises:
        UndecodableImageError: whatever Pillow raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pillow.open(io.BytesIO(data), formats=(kind,)) as opened:
                check_size(*opened.size, len(data), _BYTES_A_PIXEL.get(opened.mode, 8))
                opened.load()
                return _raw(opened)
    except UndecodableImageError:
        raise
    except UnidentifiedImageError:
        raise damaged(f"the {kind} cannot be read") from None
    except Exception as error:  # noqa: BLE001 - a damaged file can raise anything there
        raise damaged(str(error) or type(error).__name__) from None


def sixteen_bit_colour(data: bytes, width: int, height: int) -> Raw:
    """Colour of 16 bits, which Pillow would cut to 8, by OpenCV.

    Raises:
        UndecodableImageError: not such a picture, or damaged.
    """
    loud = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise damaged(str(error)) from None
    finally:
        cv2.utils.logging.setLogLevel(loud)
    if found is None or found.dtype != np.uint16 or found.shape[:2] != (height, width):
        raise damaged("its 16-bit pixels cannot be read")
    if found.ndim == 2:
        return Raw(np.asarray(found, np.uint16))
    if found.shape[2] not in (3, 4):
        raise damaged(f"{found.shape[2]} channels of 16 bits")
    colour = np.ascontiguousarray(found[:, :, 2::-1], np.uint16)
    alpha = np.ascontiguousarray(found[:, :, 3], np.uint16) if found.shape[2] == 4 else None
    return Raw(colour, alpha)


def _raw(opened: pillow.Image) -> Raw:
    if opened.mode in _WIDE_MODES:
        return Raw(_words(np.asarray(opened)))
    if opened.mode == "F":
        raise UndecodableImageError(
            "floating-point pixels have no defined range; save as 8 or 16 bit"
        )
    if opened.mode in ("1", "L") and "transparency" not in opened.info:
        return Raw(np.asarray(opened if opened.mode == "L" else opened.convert("L"), np.uint8))
    if {"A", "a"} & set(opened.getbands()) or "transparency" in opened.info:
        layers = np.asarray(opened.convert("RGBA"), np.uint8)
        return Raw(np.ascontiguousarray(layers[:, :, :3]), np.ascontiguousarray(layers[:, :, 3]))
    return Raw(np.asarray(opened.convert("RGB"), np.uint8))


def _words(values: npt.NDArray[np.uint16] | npt.NDArray[np.int32]) -> Words:
    """Wide pixels as uint16; what does not fit is refused, since it would be clipped to white."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise UndecodableImageError(
            f"pixels from {low} to {high} have no defined range; save as 8 or 16 bit"
        )
    return np.asarray(values, np.uint16)
