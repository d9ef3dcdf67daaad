"""JPEG by libjpeg-turbo with its warnings: pixels that lost bytes are refused, not guessed.

Of the segments before the pixels only those that the codec needs are handed to it, so that no
metadata can make a sound picture fail. What follows the picture's end is not looked at.
"""

import logging
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np

from streams.errors import UndecodableImageError
from streams.images.exif import orientation_of
from streams.images.raw import Bytes, Raw, Samples, check_size, damaged

log = logging.getLogger(__name__)

_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_MOST_SCANS = 100
_MOST_SEGMENTS = 2000
_MOST_EXIF = 4
_PIXELS_A_BYTE = 1024
"""More pixels than this for each byte are not in any coding of JPEG."""
_HARMLESS = ("unknown JFIF revision", "Unknown Adobe color", "Invalid SOS parameters")
"""Beginnings of warnings after which all pixels are still there."""


class _StrictCodec(Protocol):
    """The part of simplejpeg that is used: its warnings are errors unless asked otherwise."""

    def decode_jpeg(self, data: bytes, colorspace: str, *, strict: bool = True) -> Bytes: ...


@dataclass(frozen=True)
class _Picture:
    """What stands before the pixels."""

    stream: bytes
    """The file as the codec gets it."""
    width: int = 0
    height: int = 0
    components: tuple[int, ...] = ()
    progressive: bool = False
    orientation: int = 1
    frames: int = 1


def read_jpeg(data: bytes) -> Raw:
    """Pixels of a JPEG; CMYK becomes RGB, and of several pictures (MPO) the first is read.

    Raises:
        UndecodableImageError: damaged, or a kind of JPEG that the codec does not read.
    """
    picture = _opened(data)
    pixels = picture.width * picture.height
    if pixels > _PIXELS_A_BYTE * len(data):
        raise damaged(f"{picture.width}x{picture.height} pixels are not in {len(data)} bytes")
    check_size(picture.width, picture.height, len(data), 6 if picture.progressive else 4)
    frames = _require_scans(picture)
    samples = decoded(picture.stream, len(picture.components))
    if samples.shape[:2] != (picture.height, picture.width):
        raise damaged("its size is given twice and differently")
    return Raw(samples, orientation=picture.orientation, frames=frames)


def decoded(stream: bytes, components: int) -> Samples:
    """Grey (height, width) or RGB (height, width, 3) of a stream without metadata.

    Raises:
        UndecodableImageError: the codec warned of lost bytes, or cannot read it.
    """
    codec = _codec()
    if codec is None:
        return _unwatched(stream)
    space = {1: "Gray", 4: "CMYK"}.get(components, "RGB")
    try:
        found = codec.decode_jpeg(stream, space)
    except ValueError as error:
        said = str(error)
        if said.startswith("Corrupt JPEG data") and "extraneous" in said:
            found = _without_padding(codec, stream, space, said)
        elif said.startswith(_HARMLESS):
            found = codec.decode_jpeg(stream, space, strict=False)
        elif "subsampling" in said:
            return _unwatched(stream)
        else:
            raise damaged(said) from None
    if components == 4:
        return _from_cmyk(255 - found)
    return np.asarray(found[:, :, 0] if components == 1 else found)


def _without_padding(codec: _StrictCodec, stream: bytes, space: str, said: str) -> Bytes:
    """Some cameras fill up the last block with zeros; anything else there are lost pixels."""
    end = stream.rfind(_END)
    pixels = stream[:end].rstrip(b"\x00")
    if end < 0 or len(pixels) == end:
        raise damaged(said)
    try:
        return codec.decode_jpeg(pixels + _END, space)
    except ValueError:
        raise damaged(said) from None


def _unwatched(stream: bytes) -> Samples:
    """By Pillow, which tells of no warning: for rare samplings, and where simplejpeg is missing."""
    from streams.images.by_pillow import through_pillow

    return through_pillow(stream, "JPEG").samples


@cache
def _codec() -> _StrictCodec | None:
    try:
        import simplejpeg
    except ImportError:
        log.warning("simplejpeg is not installed: a JPEG that lost bytes is not always noticed")
        return None
    codec: _StrictCodec = simplejpeg
    return codec


def _from_cmyk(ink: Samples) -> Samples:
    from PIL import Image

    return np.asarray(Image.fromarray(np.asarray(ink, np.uint8), "CMYK").convert("RGB"))


def _opened(data: bytes) -> _Picture:
    """Read the segments up to the pixels, and leave out what they do not need."""
    found, kept, is_jfif, at = _Picture(b""), [data[:2]], False, 2
    tried = 0
    for marker, begin, at in _segments(data):
        body = data[begin + 4 : at]
        if marker == 0xE0 and body.startswith(b"JFIF\x00"):
            is_jfif = True
        elif marker == 0xE1 and tried < _MOST_EXIF and body.startswith(b"Exif\x00\x00"):
            found = replace(found, orientation=orientation_of(body))
            tried += 1 if found.orientation == 1 else _MOST_EXIF
        elif marker == 0xE2 and body.startswith(b"MPF\x00"):
            found = replace(found, frames=max(1, _count_of_mpf(body[4:])))
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            found = _with_frame(found, marker, body)
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if not is_metadata or (marker == 0xEE and body.startswith(b"Adobe")):
            kept.append(data[begin:at])
    if not found.components:
        raise damaged("the JPEG does not say its size")
    head = [kept[0], *([_JFIF] if is_jfif else []), *kept[1:]]
    return replace(found, stream=b"".join([*head, memoryview(data)[at:]]))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of every segment before the pixels."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if data[at : at + 1] != b"\xff":
            raise damaged("no marker where the JPEG must have one")
        while data[at + 1 : at + 2] == b"\xff":
            at += 1
        marker, length = struct.unpack(">BH", data[at + 1 : at + 4].ljust(3, b"\x00"))
        if marker == 0xDA:
            return
        if length < 2 or at + 2 + length > len(data):
            raise damaged("the JPEG ends before its pixels")
        yield marker, at, at + 2 + length
        at += 2 + length
    raise damaged(f"over {_MOST_SEGMENTS} segments before the JPEG's pixels")


def _with_frame(found: _Picture, marker: int, body: bytes) -> _Picture:
    if len(body) < 6 or len(body) < 6 + 3 * body[5] or found.components:
        raise damaged("the JPEG's frame cannot be read")
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise UndecodableImageError(f"a JPEG of {precision} bits; save as 8-bit JPEG or as PNG")
    if marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) or count not in (1, 3, 4):
        raise UndecodableImageError("a JPEG of a rare kind (lossless, or layers); save as PNG")
    return replace(
        found,
        width=width,
        height=height,
        components=tuple(body[6 + 3 * i] for i in range(count)),
        progressive=marker in (0xC2, 0xCA),
    )


def _require_scans(picture: _Picture) -> int:
    """All scans are there: a file that was cut between two of them has an end and no warning.

    Returns:
        How many pictures there are: another may stand behind the end of the first.

    Raises:
        UndecodableImageError: a component, or a bit of a coefficient, is in no scan.
    """
    sent: dict[int, list[int]] = {name: [-1] * 64 for name in picture.components}
    scans, stream, frames = 0, picture.stream, picture.frames
    for found in _MARKER.finditer(stream, 2):
        if found[1] == b"\xd9":
            frames = max(frames, 1 + stream.startswith(b"\xff\xd8\xff", found.end()))
            break
        if found[1] != b"\xda":
            continue
        scans += 1
        if scans > _MOST_SCANS:
            raise UndecodableImageError(f"a JPEG of more than {_MOST_SCANS} scans")
        body = stream[found.end() + 2 : found.end() + 14].ljust(12, b"\x00")
        count = min(body[0], 4)
        first, last, low = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count] & 15
        for name in body[1 : 1 + 2 * count : 2]:
            for k in range(first, min(last, 63) + 1) if name in sent else ():
                sent[name][k] = low
    whole = all if picture.progressive else any
    if not all(whole(low == 0 for low in bits) for bits in sent.values()):
        raise damaged("scans of the JPEG are missing")
    return frames


def _count_of_mpf(block: bytes) -> int:
    """Number of pictures that a multi-picture file says it has; 1 where it cannot be read."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    try:
        (start,) = struct.unpack_from(f"{order or '<'}L", block, 4)
        (entries,) = struct.unpack_from(f"{order or '<'}H", block, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, _, _, value = struct.unpack_from(f"{order or '<'}HHLL", block, at)
            if tag == 0xB001:
                return int(value)
    except struct.error:
        pass
    return 1
