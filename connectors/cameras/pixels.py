"""Pixels from a GenICam camera's bytes: 8 to 16 bits, packed or not, grey, Bayer, colour. Pure.

The names are those of the pixel format naming convention (PFNC). ``Mono12p`` is one stream of bits,
the lowest first; ``Mono12Packed`` is GigE Vision's older form, two pixels in three bytes.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.errors import CaptureError

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_NAME: Final = re.compile(r"(Mono|Bayer(?:RG|GR|GB|BG)|RGBa?|BGRa?)(8|10|12|14|16)(p|Packed)?$")
_CHANNELS: Final = {"RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4}


@dataclass(frozen=True)
class PixelFormat:
    """What a camera's pixel format says."""

    kind: str
    """``Mono``, ``BayerRG`` and its like, ``RGB``, ``BGR``, ``RGBa`` or ``BGRa``."""
    bits: int
    """Significant bits of a sample."""
    packing: str
    """Empty, ``p`` or ``Packed``."""

    @property
    def channels(self) -> int:
        return _CHANNELS.get(self.kind, 1)


def read_format(name: str) -> PixelFormat:
    """A format by its name. Raises ``CaptureError`` for one that is not read.

    >>> read_format("BayerRG12p")
    PixelFormat(kind='BayerRG', bits=12, packing='p')
    """
    found = _NAME.match(name)
    is_packed = found is not None and found[3] is not None
    if (
        found is None
        or (found[3] == "Packed" and found[2] not in ("10", "12"))
        or (is_packed and found[2] in ("8", "16"))
        or (is_packed and found[1] in _CHANNELS)
    ):
        raise CaptureError(
            f"pixel format {name[:40]!r} is not read; set PixelFormat to Mono8, 10, 12, 14 or 16, "
            "BayerRG8 or its like, also packed, RGB8 or BGR8"
        )
    return PixelFormat(found[1], int(found[2]), found[3] or "")


def unpack(data: bytes, width: int, height: int, form: PixelFormat) -> Samples:
    """Samples of shape (height, width), or (height, width, channels); uint8, or uint16 over 8 bits.

    Raises:
        CaptureError: the camera sent fewer bytes than its picture has.
    """
    count = width * height * form.channels
    needed = _bytes_of(count, form)
    if len(data) < needed or count <= 0:
        raise CaptureError(f"{len(data)} bytes for {width} x {height}: {needed} are needed")
    raw = np.frombuffer(data, np.uint8, needed)
    flat: Samples
    if form.packing == "p":
        flat = _bit_stream(raw, count, form.bits)
    elif form.packing == "Packed":
        flat = _two_in_three(raw, count, form.bits)
    elif form.bits == 8:
        flat = raw
    else:
        flat = raw.view("<u2").astype(np.uint16) & np.uint16((1 << form.bits) - 1)
    shape = (height, width) if form.channels == 1 else (height, width, form.channels)
    return flat.reshape(shape)


def _bytes_of(count: int, form: PixelFormat) -> int:
    if form.packing == "p":
        return (count * form.bits + 7) // 8
    if form.packing == "Packed":
        return (count // 2) * 3 + (count % 2) * 2
    return count * (1 if form.bits == 8 else 2)


def _bit_stream(raw: npt.NDArray[np.uint8], count: int, bits: int) -> npt.NDArray[np.uint16]:
    """Sample ``n`` is the ``bits`` bits from bit ``n * bits`` on, over up to three bytes."""
    first = np.arange(count, dtype=np.int64) * bits
    padded = np.concatenate([raw, np.zeros(2, np.uint8)]).astype(np.uint32)
    at = first >> 3
    word = padded[at] | padded[at + 1] << 8 | padded[at + 2] << 16
    found = (word >> (first & 7).astype(np.uint32)) & ((1 << bits) - 1)
    samples: npt.NDArray[np.uint16] = found.astype(np.uint16)
    return samples


def _two_in_three(raw: npt.NDArray[np.uint8], count: int, bits: int) -> npt.NDArray[np.uint16]:
    """High bits of a pair in its first and third byte, both low parts in the second."""
    padded = np.zeros(((count + 1) // 2, 3), np.uint16)
    padded.reshape(-1)[: raw.size] = raw
    low = bits - 8
    mask = np.uint16((1 << low) - 1)
    found = np.empty((len(padded), 2), np.uint16)
    found[:, 0] = padded[:, 0] << low | (padded[:, 1] & mask)
    found[:, 1] = padded[:, 2] << low | (padded[:, 1] >> 4 & mask)
    samples: npt.NDArray[np.uint16] = found.reshape(-1)[:count]
    return samples
