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
_CODES: Final = {
    0x01080001: "Mono8", 0x01100003: "Mono10", 0x01100005: "Mono12", 0x01100025: "Mono14",
    0x01100007: "Mono16", 0x010A0046: "Mono10p", 0x010C0047: "Mono12p", 0x010E0104: "Mono14p",
    0x010C0004: "Mono10Packed", 0x010C0006: "Mono12Packed",
    0x01080008: "BayerGR8", 0x01080009: "BayerRG8", 0x0108000A: "BayerGB8", 0x0108000B: "BayerBG8",
    0x0110000C: "BayerGR10", 0x0110000D: "BayerRG10", 0x0110000E: "BayerGB10",
    0x0110000F: "BayerBG10", 0x01100010: "BayerGR12", 0x01100011: "BayerRG12",
    0x01100012: "BayerGB12", 0x01100013: "BayerBG12", 0x0110002E: "BayerGR16",
    0x0110002F: "BayerRG16", 0x01100030: "BayerGB16", 0x01100031: "BayerBG16",
    0x010A0056: "BayerGR10p", 0x010A0058: "BayerRG10p", 0x010A0054: "BayerGB10p",
    0x010A0052: "BayerBG10p", 0x010C0057: "BayerGR12p", 0x010C0059: "BayerRG12p",
    0x010C0055: "BayerGB12p", 0x010C0053: "BayerBG12p", 0x010C0026: "BayerGR10Packed",
    0x010C0027: "BayerRG10Packed", 0x010C0028: "BayerGB10Packed", 0x010C0029: "BayerBG10Packed",
    0x010C002A: "BayerGR12Packed", 0x010C002B: "BayerRG12Packed", 0x010C002C: "BayerGB12Packed",
    0x010C002D: "BayerBG12Packed", 0x02180014: "RGB8", 0x02180015: "BGR8", 0x02200016: "RGBa8",
    0x02200017: "BGRa8", 0x02300018: "RGB10", 0x02300019: "BGR10", 0x0230001A: "RGB12",
    0x0230001B: "BGR12", 0x02300033: "RGB16", 0x0230004B: "BGR16",
}  # fmt: skip
"""The numbers of the formats in the naming convention, as a camera sends them with each frame."""


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


def name_of_code(code: int) -> str:
    """A format's name by its number; one that is not known keeps its number, and is not read.

    >>> name_of_code(0x010C0047)
    'Mono12p'
    """
    return _CODES.get(code, f"0x{code:08X}")


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
