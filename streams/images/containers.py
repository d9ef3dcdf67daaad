"""GIF, WebP and BMP: their blocks are walked for lost bytes and further frames, then decoded."""

import struct
from dataclasses import replace

from streams.images.by_pillow import through_pillow
from streams.images.exif import orientation_of
from streams.images.raw import Raw, check_size, damaged


def read_bmp(data: bytes) -> Raw:
    """Pixels of a BMP; its codec counts the rows.

    Raises:
        UndecodableImageError: damaged.
    """
    if len(data) >= 26 and struct.unpack_from("<L", data, 14)[0] >= 40:
        width, height = struct.unpack_from("<ll", data, 18)
        check_size(abs(width), abs(height), len(data), 10)
        (depth,) = struct.unpack_from("<H", data, 28) if len(data) >= 30 else (0,)
        least = 128 if depth <= 8 else 1
        if abs(width * height) > least * len(data):
            raise damaged(f"{abs(width)}x{abs(height)} pixels are not in {len(data)} bytes")
    return through_pillow(data, "BMP")


def read_webp(data: bytes) -> Raw:
    """Pixels of a WebP, of an animated one the first frame.

    Raises:
        UndecodableImageError: damaged, or shorter than it says.
    """
    (size,) = struct.unpack_from("<L", data, 4)
    if size + 8 > len(data):
        raise damaged(f"{size + 8 - len(data)} bytes of {size + 8} are missing")
    at, orientation, frames = 12, 1, 0
    while at + 8 <= size + 8:
        name, length = struct.unpack_from("<4sL", data, at)
        if at + 8 + length > size + 8:
            raise damaged("a chunk of the WebP is beyond its end")
        if name == b"EXIF":
            orientation = orientation_of(data[at + 8 : at + 8 + length])
        frames += name == b"ANMF"
        at += 8 + length + length % 2
    return replace(through_pillow(data, "WEBP"), orientation=orientation, frames=max(1, frames))


def read_gif(data: bytes) -> Raw:
    """Pixels of a GIF's first frame.

    Raises:
        UndecodableImageError: damaged before the end of the first frame.
    """
    if len(data) < 13:
        raise damaged("the GIF has no header")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    check_size(width, height, len(data))
    at, frames = 13 + _palette(flags), 0
    while at < len(data) and data[at] in b"\x21\x2c":
        if data[at] == 0x21:
            end = _end_of_blocks(data, at + 2)
        elif at + 11 > len(data):
            end = -1
        else:
            end = _end_of_blocks(data, at + 11 + _palette(data[at + 9]))
            frames += end > 0
        if end < 0:
            break
        at = end
    if not frames or (frames == 1 and at < len(data) and data[at] not in b"\x21\x2c\x3b"):
        raise damaged("the GIF's first picture is cut off")
    return replace(through_pillow(data, "GIF"), frames=frames)


def _palette(flags: int) -> int:
    """Bytes of the palette that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int) -> int:
    """Where a chain of blocks ends, its terminator included; -1 where the file ends before."""
    while at < len(data):
        if data[at] == 0:
            return at + 1
        at += 1 + data[at]
    return -1
