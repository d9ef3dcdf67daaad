"""The one EXIF tag that changes pixels: Orientation. Whatever else stands there is not read."""

import struct

_TAG = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}
"""Integer types of TIFF; cameras write SHORT, some programs LONG or BYTE."""
_PREFIX = b"Exif\x00\x00"


def orientation_of(block: bytes) -> int:
    """EXIF orientation, 1 to 8; 1 where the block is damaged or says anything else.

    Args:
        block: EXIF as TIFF, with or without its prefix.

    >>> orientation_of(bytes.fromhex("49492a00 08000000 0100 1201 0300 01000000 06000000"))
    6
    """
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "L", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(order + "HHL", block, entry)
            if tag == _TAG and length == 1 and kind in _FORMATS:
                (value,) = struct.unpack_from(order + _FORMATS[kind], block, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
