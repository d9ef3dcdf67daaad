"""A refused picture as it is kept for people: no larger than a message may be."""

import numpy as np

from streams.ports import Picture
from streams.topics import INLINE_LIMIT_BYTES


def evidence_of(picture: Picture, limit_bytes: int = INLINE_LIMIT_BYTES) -> Picture:
    """The picture itself, or a JPEG of it that is made smaller until it fits.

    What is no picture at all stays as it is; the letter that carries it says what it cut off.
    """
    if len(picture.data) <= limit_bytes:
        return picture
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return picture
    if pixels is None:
        return picture
    while min(pixels.shape[:2]) > 1:
        done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])
        if done and data.size <= limit_bytes:
            return Picture(bytes(data.tobytes()), "image/jpeg", f"{picture.name}.jpg")
        pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return picture
