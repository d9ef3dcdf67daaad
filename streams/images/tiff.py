"""TIFF and BigTIFF: the first page by the tags that make its pixels, its strips checked first."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from streams.errors import UndecodableImageError
from streams.images import jpeg
from streams.images.by_pillow import sixteen_bit_colour, through_pillow
from streams.images.raw import Raw, check_size, damaged

_HEADS = {b"II*\x00": ("<", 0), b"MM\x00*": (">", 0), b"II+\x00": ("<", 1), b"MM\x00+": (">", 1)}
_TYPES = {1: "B", 3: "H", 4: "L", 16: "Q"}
"""Types that numbers of pixels and bytes are written in."""
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _COUNTS, _PLANAR = 273, 274, 277, 279, 284
_TILES, _TILE_COUNTS, _FORMAT, _TABLES = 324, 325, 339, 347
_OF_PIXELS = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIPS, _SAMPLES, 278, _COUNTS}
    | {_PLANAR, 292, 293, 317, 320, 322, 323, _TILES, _TILE_COUNTS, 332, 338, _FORMAT, _TABLES}
    | {529, 530, 531, 532}
)
_DEFLATE, _JPEG = (8, 32946), 7
_FAX = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
_END_OF_FAX = 4
"""Bytes by which fax strips may differ at their end: whether it is marked, and filling."""
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_MOST_PAGES = 10_000
_MOST_STRIPS = 1_000_000


@dataclass(frozen=True)
class _Page:
    """The first page's directory."""

    data: bytes
    order: str
    big: int
    entries: dict[int, bytes]
    """Entries by tag, as they stand in the file."""
    following: int
    """Where the next directory begins; 0 after the last."""

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of a tag that counts something."""
        entry = self.entries.get(tag)
        if entry is None:
            return default
        kind, count = struct.unpack_from(self.order + ("HQ" if self.big else "HL"), entry, 2)
        if kind not in _TYPES or count > _MOST_STRIPS:
            raise damaged(f"tag {tag} of the TIFF is no number")
        form = f"{self.order}{count}{_TYPES[kind]}"
        inside, place = (12, "Q") if self.big else (8, "L")
        if struct.calcsize(form) <= len(entry) - inside:
            return struct.unpack_from(form, entry, inside)
        (start,) = struct.unpack_from(self.order + place, entry, inside)
        return struct.unpack_from(form, self.data, start)

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        return next(iter(self.numbers(tag)), default)

    def block(self, tag: int) -> bytes:
        """The bytes of a tag whose type is BYTE or UNDEFINED; empty where it is absent."""
        entry = self.entries.get(tag)
        if entry is None:
            return b""
        count, start = struct.unpack_from(self.order + ("QQ" if self.big else "LL"), entry, 4)
        return self.data[start : start + count]


def read_tiff(data: bytes) -> Raw:
    """Pixels of a TIFF's first page.

    Raises:
        UndecodableImageError: damaged, or a kind of TIFF that the codecs do not read.
    """
    try:
        page = _directory(data, *_first(data))
        width, height = page.number(_WIDTH), page.number(_HEIGHT)
        bits = max(page.numbers(_BITS, (1,)))
        samples = page.number(_SAMPLES, 1)
        check_size(width, height, len(data), 3 + max(1, samples * bits // 8) * 2)
        _require_strips(page)
        found = _pixels(page, width, height, bits, samples)
        if page.number(_COMPRESSION, 1) in _FAX and _STRIPS in page.entries:
            _require_fax(page, found)
        turned = page.numbers(_ORIENTATION) if _ORIENTATION in page.entries else (1,)
    except struct.error:
        raise damaged("the TIFF's directory points beyond its end") from None
    is_wide = found.samples.dtype.itemsize > 1
    return replace(
        found,
        white=(1 << bits) - 1 if is_wide and 8 < bits < 16 else None,
        orientation=turned[0] if len(turned) == 1 and 1 <= turned[0] <= 8 else 1,
        frames=_count_pages(page),
        inverted=is_wide and page.number(_PHOTOMETRIC, 1) == 0,
    )


def _first(data: bytes) -> tuple[str, int, int]:
    """Byte order, whether the file is a BigTIFF, and where its first directory begins."""
    order, big = _HEADS[data[:4]]
    (start,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
    return order, big, start


def _directory(data: bytes, order: str, big: int, start: int) -> _Page:
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    size, at = (20, start + 8) if big else (12, start + 2)
    if count < 1 or at + count * size > len(data):
        raise damaged("the TIFF's directory is cut off")
    entries: dict[int, bytes] = {}
    for place in range(at, at + count * size, size):
        (tag,) = struct.unpack_from(order + "H", data, place)
        entries.setdefault(tag, data[place : place + size])
    return _Page(data, order, big, entries, _following(data, order, big, start))


def _following(data: bytes, order: str, big: int, start: int) -> int:
    """Where the directory after the one at ``start`` begins; 0 after the last."""
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    end = start + (8 + count * 20 if big else 2 + count * 12)
    if count < 1 or end > len(data):
        raise damaged("the TIFF's directory is cut off")
    following = data[end : end + (8 if big else 4)]
    return int.from_bytes(following, "little" if order == "<" else "big")


def _count_pages(page: _Page) -> int:
    """Directories in the chain; a chain that breaks ends there."""
    seen, following = 1, page.following
    places = set()
    while following and following not in places and seen < _MOST_PAGES:
        places.add(following)
        try:
            following = _following(page.data, page.order, page.big, following)
        except (struct.error, UndecodableImageError):
            break
        seen += 1
    return seen


def _pixels(page: _Page, width: int, height: int, bits: int, samples: int) -> Raw:
    clean = _without_metadata(page)
    wide_colour = bits == 16 and samples > 1 and page.number(_PHOTOMETRIC) in (1, 2)
    if wide_colour and page.number(_FORMAT, 1) == 1:
        return sixteen_bit_colour(clean, width, height)
    return through_pillow(clean, "TIFF")


def _without_metadata(page: _Page) -> bytes:
    """The file with a directory of only what pixels need, written behind it."""
    kept = [page.entries[tag] for tag in sorted(_OF_PIXELS & page.entries.keys())]
    start = len(page.data) + len(page.data) % 2
    head = struct.pack(page.order + ("Q" if page.big else "L"), start)
    count = struct.pack(page.order + ("Q" if page.big else "H"), len(kept))
    at = 8 if page.big else 4
    body = (
        page.data[:at],
        head,
        memoryview(page.data)[at + len(head) :],
        bytes(start - len(page.data)),
    )
    return b"".join([*body, count, *kept, bytes(8 if page.big else 4)])


def _strips(page: _Page) -> Iterator[bytes]:
    tiled = _TILES in page.entries
    places = page.numbers(_TILES if tiled else _STRIPS)
    sizes = page.numbers(_TILE_COUNTS if tiled else _COUNTS)
    for place, size in zip(places, sizes, strict=False):
        yield page.data[place : place + size]


def _require_strips(page: _Page) -> None:
    """Every strip lies in the file, and those with a checksum or warnings of their own hold."""
    tiled = _TILES in page.entries
    places = page.numbers(_TILES if tiled else _STRIPS)
    sizes = page.numbers(_TILE_COUNTS if tiled else _COUNTS)
    if not places:
        raise damaged("the TIFF does not say where its pixels are")
    for place, size in zip(places, sizes, strict=False):
        if place + size > len(page.data):
            raise damaged("pixels of the TIFF are beyond its end")
    if sum(sizes) > len(page.data):
        raise damaged("strips of the TIFF lie over each other")
    compression = page.number(_COMPRESSION, 1)
    if compression in _DEFLATE:
        pixels = page.number(_WIDTH) * page.number(_HEIGHT)
        bits = max(page.numbers(_BITS, (1,))) * page.number(_SAMPLES, 1)
        left = 2 * pixels * bits // 8 + (len(places) << 16)
        for strip in _strips(page):
            left -= _inflated(strip, left)
    elif compression == _JPEG:
        tables, count = page.block(_TABLES), page.number(_SAMPLES, 1)
        planes = 1 if page.number(_PLANAR, 1) == 2 else count
        for strip in _strips(page):
            jpeg.decoded((tables[:-2] or b"\xff\xd8") + strip[2:], planes)


def _inflated(strip: bytes, most: int) -> int:
    """Bytes that a strip inflates to, up to its end, where its checksum stands."""
    stream, part, made = zlib.decompressobj(), strip, 0
    try:
        while part and not stream.eof and made <= most:
            made += len(stream.decompress(part, 1 << 20))
            part = stream.unconsumed_tail
    except zlib.error as error:
        raise damaged(str(error)) from None
    if not stream.eof:
        raise damaged("a strip of the TIFF is cut off, or holds more than its pixels")
    return made


def _require_fax(page: _Page, found: Raw) -> None:
    """Fax coding has no checksum and its codec goes on after errors: coded again, it is the same.

    Raises:
        UndecodableImageError: a strip is not what its pixels make.
    """
    pixels = found.samples if page.number(_PHOTOMETRIC, 1) else 255 - found.samples
    ink = Image.fromarray(np.asarray(pixels, np.uint8)).convert("1", dither=Image.Dither.NONE)
    rows = min(page.number(278, ink.height), ink.height)
    options = {292: page.number(292), 278: rows}
    for number, strip in enumerate(_strips(page)):
        lines = ink.crop((0, number * rows, ink.width, min((number + 1) * rows, ink.height)))
        stream = io.BytesIO()
        kind = _FAX[page.number(_COMPRESSION)]
        lines.save(stream, "TIFF", compression=kind, tiffinfo=options)
        again = b"".join(_strips(_directory(stream.getvalue(), *_first(stream.getvalue()))))
        if page.number(266, 1) == 2:
            strip = strip.translate(_REVERSED)
        sure = max(0, len(again) - _END_OF_FAX)
        if strip[:sure] != again[:sure] or len(strip) > len(again) + _END_OF_FAX:
            raise damaged("lines of the fax coding cannot be read")
