"""Pictures at the size that a page shows."""

from typing import Final

import cv2

from streams.errors import UndecodableImageError
from streams.images.decoding import decode

_SHOWN_BY_BROWSERS: Final = (b"\x89PNG", b"\xff\xd8\xff")


def shrunk(body: bytes, longest_px: int) -> bytes:
    """The picture with at most so many pixels on its longer side, as browsers show it.

    Raises:
        UndecodableImageError: the bytes are no picture.
    """
    pixels = decode(body).pixels[:, :, ::-1]
    height, width = pixels.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1 and body.startswith(_SHOWN_BY_BROWSERS):
        return body
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise UndecodableImageError("this picture cannot be shown")
    return bytes(encoded)
