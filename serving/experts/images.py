"""Bytes to pixels, the same in training and serving.

16-bit images are scaled linearly from the full range 0..65535 to 0..255 (a fixed scale: stretching
by content would hide exposure faults). Alpha is laid over white. EXIF orientation is applied.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image as pillow
from PIL import ImageOps, UnidentifiedImageError

from serving.experts.errors import UndecodableImage
from serving.experts.types import Image, Rows

MAX_PIXELS = 200_000_000
"""Largest image decoded, pixels: a bound on memory, not a limit of the experts."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm"})
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def decode_image(data: bytes) -> Image:
    """Decode an encoded image to uint8 RGB of shape (height, width, 3).

    Args:
        data: PNG, JPEG, BMP, TIFF, WebP, PNM or GIF (first frame); 8 or 16 bit; grey, colour,
            palette or alpha.

    Raises:
        UndecodableImage: empty, truncated, not an image, or larger than ``MAX_PIXELS``.

    >>> decode_image(b"P5 2 1 255 " + bytes([0, 255])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    if not data:
        raise UndecodableImage("the image is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data)
    except UnidentifiedImageError:
        raise UndecodableImage(
            f"not an image ({_describe(data)}); expected PNG, JPEG, ..."
        ) from None
    except UndecodableImage:
        raise
    except pillow.DecompressionBombError as error:
        raise UndecodableImage(str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        reason = str(error) or type(error).__name__
        raise UndecodableImage(f"truncated or damaged: {reason}") from None


def _decode(data: bytes) -> Image:
    with pillow.open(io.BytesIO(data), formats=_FORMATS) as opened:
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise UndecodableImage(
                f"{width}x{height} pixels exceed the limit of {MAX_PIXELS // 10**6} megapixels"
            )
        opened.load()
        _require_end(opened.format or "", data)
        return _to_rgb(opened)


def read_image(path: Path) -> Image:
    """Decode the image file at ``path``; errors name the file.

    Raises:
        UndecodableImage: unreadable or undecodable.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_image(Path(folder) / "none.png")
    Traceback (most recent call last):
    serving.experts.errors.UndecodableImage: .../none.png: cannot be read: No such file or directory
    """
    try:
        return decode_image(path.read_bytes())
    except OSError as error:
        raise UndecodableImage(f"{path}: cannot be read: {error.strerror}") from None
    except UndecodableImage as error:
        raise UndecodableImage(f"{path}: {error}") from None


def list_images(folder: Path) -> list[Path]:
    """Every image file under ``folder`` (by suffix), sorted, hidden files left out."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() and not p.name.startswith(".")
    )


def _to_rgb(opened: pillow.Image) -> Image:
    turned = ImageOps.exif_transpose(opened)
    if turned.mode in _WIDE_MODES:
        wide = np.asarray(turned).astype(np.int64)
        return np.repeat(_to_8_bit(wide)[:, :, None], 3, axis=2)
    if turned.mode == "F":
        raise UndecodableImage("floating-point pixels have no defined range; save as 8 or 16 bit")
    if "A" in turned.getbands() or "transparency" in turned.info:
        layer = turned.convert("RGBA")
        turned = pillow.alpha_composite(pillow.new("RGBA", layer.size, "white"), layer)
    return np.ascontiguousarray(np.asarray(turned.convert("RGB"), dtype=np.uint8))


def _require_end(kind: str, data: bytes) -> None:
    """Pillow accepts files whose last bytes are missing when every pixel can still be guessed."""
    if kind == "PNG" and b"IEND" not in data:
        raise UndecodableImage("truncated or damaged: the PNG has no end")
    if kind == "JPEG" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UndecodableImage("truncated or damaged: the JPEG has no end")


def _to_8_bit(wide: Rows) -> Image:
    return np.asarray((np.clip(wide, 0, 65535) * 255 + 32767) // 65535, dtype=np.uint8)


def _describe(data: bytes) -> str:
    head = data[:16]
    if all(32 <= b < 127 or b in (9, 10, 13) for b in head):
        return f"text that begins {head.decode('ascii')!r}"
    return f"{len(data)} bytes that begin {head[:8].hex(' ')}"
