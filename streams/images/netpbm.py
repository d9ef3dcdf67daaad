"""Netpbm: PGM and PPM by their stated greatest value; the text forms and bitmaps by Pillow."""

import re

import numpy as np

from streams.errors import UndecodableImageError
from streams.images.by_pillow import through_pillow
from streams.images.raw import Raw, check_size, damaged

_GAP = rb"(?:\s|#[^\r\n]{0,1000}[\r\n]){1,100}"
_HEAD = re.compile(
    rb"P([56])" + _GAP + rb"(\d{1,7})" + _GAP + rb"(\d{1,7})" + _GAP + rb"(\d{1,5})\s"
)
_TEXT = re.compile(rb"P[1-4]" + _GAP + rb"(\d{1,7})" + _GAP + rb"(\d{1,7})\s")


def read_netpbm(data: bytes) -> Raw:
    """Pixels of a PBM, PGM or PPM; of several in one file the first.

    Raises:
        UndecodableImageError: damaged, or of floating-point pixels.
    """
    if data[:2] in (b"Pf", b"PF"):
        raise UndecodableImageError(
            "floating-point pixels have no defined range; save as 8 or 16 bit"
        )
    if data[1:2] in b"1234":
        found = _TEXT.match(data)
        if found is None:
            raise damaged("the header cannot be read")
        check_size(int(found[1]), int(found[2]), len(data))
        if int(found[1]) * int(found[2]) > 8 * len(data):
            raise damaged(f"{int(found[1])}x{int(found[2])} pixels are not in {len(data)} bytes")
        return through_pillow(data, "PPM")
    head = _HEAD.match(data)
    if head is None:
        raise damaged("the header cannot be read")
    bands = 3 if head[1] == b"6" else 1
    width, height, greatest = (int(head[i]) for i in (2, 3, 4))
    check_size(width, height, len(data), 6)
    if not 1 <= greatest <= 65535:
        raise damaged(f"the greatest value is {greatest}")
    kind = np.dtype(np.uint8 if greatest < 256 else ">u2")
    end = head.end() + width * height * bands * kind.itemsize
    if end > len(data):
        raise damaged(f"{end - len(data)} bytes of {end} are missing")
    values = np.frombuffer(data, kind, width * height * bands, head.end())
    if int(values.max()) > greatest:
        raise damaged(f"a pixel is {int(values.max())}, above the stated {greatest}")
    shape = (height, width, 3) if bands == 3 else (height, width)
    grid = values.reshape(shape)
    pixels = np.asarray(grid, np.uint8) if greatest < 256 else np.asarray(grid, np.uint16)
    frames = 2 if data[end : end + 2] == head[0][:2] else 1
    return Raw(pixels, white=None if greatest in (255, 65535) else greatest, frames=frames)
