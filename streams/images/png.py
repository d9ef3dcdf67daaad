"""PNG: every chunk's checksum counts, and only chunks that make pixels are decoded."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

from streams.errors import UndecodableImageError
from streams.images.by_pillow import sixteen_bit_colour, through_pillow
from streams.images.exif import orientation_of
from streams.images.raw import Raw, check_size, damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_WHITE = b"whIt"
"""A private chunk of ours in PNGs of 16 bits: the value of white, two bytes, big-endian."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MOST_CHUNKS = 200_000
_MOST_DEFLATED = 1040
"""Deflate makes at most 1032 bytes of one."""


def read_png(data: bytes) -> Raw:
    """Pixels of a PNG, of an animated one the first frame.

    Raises:
        UndecodableImageError: a chunk is cut, missing or has another checksum than it says.
    """
    kept: list[bytes | memoryview] = [SIGNATURE]
    orientation, frames, deflated, header, white = 1, 1, 0, b"", None
    view = memoryview(data)
    for name, at, end in _chunks(data):
        body = view[at + 8 : end - 4]
        if name in _PIXELS:
            _require_checksum(name, view[at:end])
            kept.append(view[at:end])
            if name == b"IHDR":
                header = bytes(body)
            elif name == b"IDAT":
                deflated += len(body)
        elif name[:1].isupper():
            raise UndecodableImageError(f"a PNG with an unknown chunk {name.decode()}")
        elif name == _WHITE:
            _require_checksum(name, view[at:end])
            if len(body) == 2:
                white = int.from_bytes(body, "big") or None
        elif name == b"eXIf":
            orientation = orientation_of(bytes(body))
        elif name == b"acTL" and len(body) == 8:
            frames = max(1, int.from_bytes(body[:4], "big"))
    if len(header) != 13:
        raise damaged("the PNG's header cannot be read")
    found = _decoded(b"".join(kept), header, deflated, orientation, frames)
    return replace(found, white=white) if header[8] == 16 else found


def with_white(png: bytes, white: int) -> bytes:
    """A PNG of 16 bits that says which of its values is white, 1 to 65,535.

    >>> len(with_white(SIGNATURE + bytes(25), 4095)) - 33
    14
    """
    body = _WHITE + white.to_bytes(2, "big")
    chunk = (2).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    head = len(SIGNATURE) + 25
    return png[:head] + chunk + png[head:]


def white_of(png: bytes) -> int | None:
    """The white that ``with_white`` put into a PNG; None: it says nothing.

    >>> white_of(with_white(SIGNATURE + bytes(25), 4095))
    4095
    """
    at = len(SIGNATURE) + 25
    if png.startswith(SIGNATURE) and png[at + 4 : at + 8] == _WHITE:
        return int.from_bytes(png[at + 8 : at + 10], "big") or None
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of every chunk up to the last."""
    at, name = len(SIGNATURE), b""
    for _ in range(_MOST_CHUNKS):
        length, name = struct.unpack(">L4s", data[at : at + 8].ljust(8, b"\xff"))
        end = at + 12 + length
        if not name.isalpha() or end > len(data):
            raise damaged("the PNG has no end")
        if (at == len(SIGNATURE)) != (name == b"IHDR"):
            raise damaged("the PNG's header is not its first chunk")
        yield name, at, end
        if name == b"IEND":
            return
        at = end
    raise damaged(f"over {_MOST_CHUNKS} chunks in the PNG")


def _require_checksum(name: bytes, chunk: memoryview) -> None:
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise damaged(f"the checksum of {name.decode()} is not that of its bytes")


def _decoded(clean: bytes, header: bytes, deflated: int, orientation: int, frames: int) -> Raw:
    width, height, bits, colour = struct.unpack_from(">LLBB", header)
    samples = _SAMPLES.get(colour)
    if samples is None or bits not in (1, 2, 4, 8, 16):
        raise damaged("the PNG's header cannot be read")
    check_size(width, height, len(clean), 3 + samples * bits // 8 * (1 if samples == 1 else 2))
    needed = height * (1 + (width * samples * bits + 7) // 8)
    if needed > _MOST_DEFLATED * deflated:
        raise damaged(f"{width}x{height} pixels are not in {deflated} bytes")
    if bits == 16 and samples > 1:
        _require_whole(clean, needed)
        found = sixteen_bit_colour(clean, width, height)
    else:
        found = through_pillow(clean, "PNG")
    return Raw(found.samples, found.alpha, None, orientation, frames)


def _require_whole(clean: bytes, needed: int) -> None:
    """OpenCV gives a picture whose last rows are missing: count them first."""
    stream, made, at = zlib.decompressobj(), 0, len(SIGNATURE)
    while at < len(clean) and made < needed:
        length, name = struct.unpack_from(">L4s", clean, at)
        part = clean[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        while part and made < needed:
            try:
                made += len(stream.decompress(part, 1 << 20))
            except zlib.error as error:
                raise damaged(str(error)) from None
            part = stream.unconsumed_tail
        at += 12 + length
    if made < needed:
        raise damaged("rows of the PNG are missing")
