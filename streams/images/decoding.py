"""Bytes to pixels: the rules that training, serving and every other reader of pictures share."""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.errors import UndecodableImageError
from streams.images.containers import read_bmp, read_gif, read_webp
from streams.images.jpeg import read_jpeg
from streams.images.netpbm import read_netpbm
from streams.images.png import SIGNATURE, read_png
from streams.images.raw import Bytes, Raw, Samples, damaged
from streams.images.tiff import read_tiff

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of a pixel that cameras have, and 16-bit files hold."""
_READERS = (
    (b"\xff\xd8\xff", read_jpeg),
    (SIGNATURE, read_png),
    (b"II*\x00", read_tiff),
    (b"MM\x00*", read_tiff),
    (b"II+\x00", read_tiff),
    (b"MM\x00+", read_tiff),
    (b"RIFF", read_webp),
    (b"BM", read_bmp),
    (b"GIF87a", read_gif),
    (b"GIF89a", read_gif),
    *((b"P" + digit, read_netpbm) for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"f", b"F")),
)
_OTHERS = (
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"P7\n", "PAM"),
    (0, b"<svg", "SVG"),
)
"""Place and bytes by which other kinds are told, to name them in the refusal."""


class TooDeepError(UndecodableImageError):
    """Pixels use more bits than was said; ``bits`` is how many they use."""

    def __init__(self, bits: int, said: int) -> None:
        super().__init__(
            f"its pixels use {bits} bits, but a bit depth of {said} is set: brighter ones would "
            "turn white; set the camera's bit depth and train again"
        )
        self.bits = bits


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A picture as every expert takes it."""

    pixels: Bytes
    """RGB, uint8 (height, width, 3), upright."""
    bits: int = 8
    """Bits that white is taken to have: 8, or those of 16-bit pixels."""
    guessed: bool = False
    """Whether nobody said ``bits``: neither the file nor the caller."""
    notes: tuple[str, ...] = ()
    """What was decided and may surprise."""


def decode(data: bytes, bits: int | None = None) -> DecodedImage:
    """Decode PNG, JPEG, BMP, TIFF, WebP, Netpbm or GIF.

    Args:
        data: the file's bytes. Of several pages or frames the first is read.
        bits: bits of the camera's pixels in 16-bit files, 8 to 16; without it, the fewest of
            ``DEPTHS`` that hold the picture's brightest pixel. A file that states its white is
            taken at its word.

    Raises:
        UndecodableImageError: empty, damaged, not a picture, or larger than the limit.
        TooDeepError: a pixel needs more than ``bits``.

    >>> decode(b"P5 2 1 4095 " + bytes([15, 255, 7, 255])).pixels[0, :, 0].tolist()
    [255, 127]
    """
    raw = _read(data)
    notes = []
    if raw.frames > 1:
        notes.append(f"the first of {raw.frames} pages or frames is read")
    grey, depth, guessed = _to_8_bit(raw, bits)
    if guessed and depth < 16:
        notes.append(
            f"its 16-bit pixels use {depth} bits, so white is taken as {(1 << depth) - 1}; "
            "training keeps a bit depth (--set bit-depth=N)"
        )
    if raw.alpha is not None:
        grey, note = _over_white(grey, raw.alpha)
        notes += [note] if note else []
    grey = _upright(grey, raw.orientation)
    if grey.ndim == 2:
        grey = np.repeat(grey[:, :, None], 3, axis=2)
    return DecodedImage(np.ascontiguousarray(grey), depth, guessed, tuple(notes))


def _read(data: bytes) -> Raw:
    if not data:
        raise UndecodableImageError("the image is empty (0 bytes)")
    for magic, reader in _READERS:
        if data.startswith(magic) and (magic != b"RIFF" or data[8:12] == b"WEBP"):
            try:
                return reader(data)
            except (struct.error, LookupError, ValueError, TypeError, ArithmeticError) as error:
                raise damaged(str(error) or type(error).__name__) from None
    for place, magic, name in _OTHERS:
        if data.startswith(magic, place):
            raise UndecodableImageError(f"a file of {name}, which is not read; save it as PNG")
    raise UndecodableImageError(f"not an image ({_describe(data)}); expected PNG, JPEG, ...")


def _to_8_bit(raw: Raw, bits: int | None) -> tuple[Bytes, int, bool]:
    """Pixels of 8 bits, the bits that they had, and whether those were counted."""
    if raw.samples.dtype == np.uint8 and raw.white is None:
        return np.asarray(raw.samples, np.uint8), 8, False
    used = _bits_of(raw.samples)
    if raw.white is not None:
        return _scaled(raw.samples, raw.white, raw.inverted), raw.white.bit_length(), False
    if bits is not None and used > bits:
        raise TooDeepError(used, bits)
    depth = used if bits is None else bits
    return _scaled(raw.samples, (1 << depth) - 1, raw.inverted), depth, bits is None


def _bits_of(samples: Samples) -> int:
    """The fewest of ``DEPTHS`` that hold every sample."""
    most = int(samples.max())
    return next(depth for depth in DEPTHS if most < 1 << depth)


def _scaled(samples: Samples, white: int, inverted: bool) -> Bytes:
    values = np.arange(1 << (8 * samples.dtype.itemsize), dtype=np.int64)
    levels = (np.minimum(values, white) * 255 + white // 2) // white
    table = np.asarray(255 - levels if inverted else levels, np.uint8)
    return table[samples]


def _over_white(pixels: Bytes, alpha: Samples) -> tuple[Bytes, str]:
    """Laid over white; alpha that is the same everywhere is none, or the picture would vanish."""
    least, most = int(alpha.min()), int(alpha.max())
    opaque = (1 << _bits_of(alpha)) - 1
    if least == most:
        return pixels, "" if most == opaque else f"its alpha is {most} everywhere: left out"
    share = alpha if alpha.dtype == np.uint8 else _scaled(alpha, opaque, False)
    weight = np.asarray(share, np.uint32)[:, :, None]
    colour: npt.NDArray[np.uint32] = (pixels if pixels.ndim == 3 else pixels[:, :, None]).astype(
        np.uint32
    )
    laid = (colour * weight + 255 * (255 - weight) + 127) // 255
    return np.asarray(laid, np.uint8), "parts of it are transparent: laid over white"


def _upright(pixels: Bytes, orientation: int) -> Bytes:
    """Turned and mirrored as EXIF says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _describe(data: bytes) -> str:
    head = data[:16]
    if all(32 <= b < 127 or b in (9, 10, 13) for b in head):
        return f"text that begins {head.decode('ascii')!r}"
    return f"{len(data)} bytes that begin {head[:8].hex(' ')}"
