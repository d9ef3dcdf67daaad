"""Small pictures of every kind that the decoder reads, made in memory."""

import io
import struct
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

Picture = npt.NDArray[np.uint8]


@cache
def photograph(height: int = 96, width: int = 128, seed: int = 0) -> Picture:
    """Soft blobs in colour with a little noise, as a camera sees a part."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(128, 120, (height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(rough, (0, 0), 5) * 2 - 128 + rng.normal(0, 3, rough.shape)
    return np.clip(soft, 0, 255).astype(np.uint8)


def encoded(picture: pillow.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """An EXIF block as TIFF: tag, type, count and four bytes of value or offset each."""
    head = b"II*\x00" if order == "<" else b"MM\x00*"
    body = b"".join(
        struct.pack(order + "HHL", tag, kind, count) + value for tag, kind, count, value in entries
    )
    return head + struct.pack(order + "LH", 8, len(entries)) + body + bytes(4)


def orientation(value: int, order: str = "<") -> tuple[int, int, int, bytes]:
    return 0x0112, 3, 1, struct.pack(order + "HH", value, 0)


@cache
def by_kind() -> dict[str, bytes]:
    """A file of every kind, by a name that says what is in it."""
    colour = pillow.fromarray(photograph())
    grey = colour.convert("L")
    palette = colour.quantize(32)
    faded = colour.convert("RGBA")
    faded.putalpha(grey)
    wide = (np.asarray(grey).astype(np.uint16) << 8) + 90
    deep = wide >> 4
    wide_colour = photograph().astype(np.uint16) << 8
    other = pillow.fromarray(photograph(seed=1))
    found = {
        "jpg": encoded(colour, "JPEG", quality=85, exif=b"Exif\0\0" + exif(orientation(6))),
        "jpg grey": encoded(grey, "JPEG"),
        "jpg progressive": encoded(colour, "JPEG", progressive=True),
        "jpg restarts": encoded(colour, "JPEG", restart_marker_blocks=4),
        "jpg cmyk": encoded(colour.convert("CMYK"), "JPEG"),
        "mpo": encoded(colour, "MPO", save_all=True, append_images=[other]),
        "png": encoded(colour, "PNG"),
        "png grey": encoded(grey, "PNG"),
        "png palette": encoded(palette, "PNG", transparency=3),
        "png alpha": encoded(faded, "PNG"),
        "png grey alpha": encoded(faded.convert("LA"), "PNG"),
        "png one bit": encoded(grey.convert("1"), "PNG"),
        "png 16": encoded(pillow.fromarray(wide), "PNG"),
        "png 12 of 16": encoded(pillow.fromarray(deep), "PNG"),
        "png 16 colour": cv2.imencode(".png", wide_colour)[1].tobytes(),
        "apng": encoded(colour, "PNG", save_all=True, append_images=[other]),
        "bmp": encoded(colour, "BMP"),
        "bmp grey": encoded(grey, "BMP"),
        "bmp alpha": encoded(faded, "BMP"),
        "gif": encoded(palette, "GIF"),
        "gif animated": encoded(palette, "GIF", save_all=True, append_images=[other]),
        "webp": encoded(colour, "WEBP"),
        "webp lossless": encoded(faded, "WEBP", lossless=True),
        "webp animated": encoded(colour, "WEBP", save_all=True, append_images=[other]),
        "pgm": encoded(grey, "PPM"),
        "pgm 12": b"P5\n128 96\n4095\n" + deep.astype(">u2").tobytes(),
        "pgm 16": b"P5\n# made\n128 96\n65535\n" + wide.astype(">u2").tobytes(),
        "ppm": encoded(colour, "PPM"),
        "pbm": encoded(grey.convert("1"), "PPM"),
        "pgm text": b"P2 3 2 255\n0 1 2 3 4 255\n",
        "tif": encoded(colour, "TIFF"),
        "tif pages": cv2.imencodemulti(".tif", [photograph(), photograph(seed=1)])[1].tobytes(),
        "tif 16": encoded(pillow.fromarray(wide), "TIFF"),
        "tif 12 of 16": encoded(pillow.fromarray(deep), "TIFF"),
        "tif 16 colour": cv2.imencode(".tif", wide_colour)[1].tobytes(),
        "tif big": encoded(grey, "TIFF", big_tiff=True),
        "tif cmyk": encoded(colour.convert("CMYK"), "TIFF"),
        "tif fax": encoded(grey.convert("1"), "TIFF", compression="group4"),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        found[f"tif {compression}"] = encoded(colour, "TIFF", compression=compression)
    return found
