"""The pictures that a multimodal model is shown: reference, query, query outlined in red.

In that order and each 448x448 (VELM, sections 3.1 and 4.2). Everything is re-encoded from pixels,
so that no metadata of the camera's file travels along.
"""

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import cv2
import numpy as np

from prompts import PictureLayout
from serving.experts.images import decode_image, decode_noted
from serving.experts.types import Image
from serving.naming.settings import VisualSettings as VisualSettings
from streams.errors import AndonError
from streams.events import Region
from streams.regions import Mask, region_mask

Raster = TypeVar("Raster", Image, Mask)
CropBox = tuple[int, int, int, int]
"""Left, top, right, bottom in image pixels; right and bottom are outside."""
RED: Final = (255, 0, 0)


class EgressError(AndonError):
    """The product's policy does not let this picture leave the plant."""


@dataclass(frozen=True)
class PromptPictures:
    """Encoded pictures in the order in which they are sent."""

    items: tuple[bytes, ...]
    data_urls: tuple[str, ...]
    """The pictures as RFC 2397 URLs, base64."""
    layout: PictureLayout
    has_reference: bool


def make_pictures(
    query: bytes,
    reference: bytes | None,
    region: Region | None,
    settings: VisualSettings = VisualSettings(),
    *,
    visual_prompt: bool = True,
    cropped: bool = False,
) -> PromptPictures:
    """Decode, crop, outline, resize, encode. CPU-bound: call it off the event loop.

    Args:
        query: the photograph as captured.
        reference: a photograph of a normal part, or None for none.
        region: the expert's region; without one the whole picture is the region.
        settings: sizes and options.
        visual_prompt: whether the outlined picture is made at all.
        cropped: show only the surroundings of the region (egress ``crop``).

    Raises:
        serving.experts.errors.UndecodableImage: ``query`` or ``reference`` is no image.
        EgressError: ``cropped``, and the crop would show nearly the whole part.
    """
    bits = _common_bits(query, reference)
    image = decode_image(query, bits)
    height, width = image.shape[:2]
    mask = full_mask(region, height, width)
    box = crop_box(mask, settings)
    window = box if cropped else (0, 0, width, height)
    if cropped:
        _check_share(box, height, width, settings.crop_most_share)
    side = settings.side_px
    items = []
    if reference is not None and cropped:
        normal = _like(decode_image(reference, bits), height, width)
        items.append(encode(_resize(_cut(normal, window), side), settings))
    elif reference is not None:
        items.append(_whole_reference(reference, settings, bits))
    shown = _resize(_cut(image, window), side)
    items.append(encode(shown, settings))
    if visual_prompt:
        small = _resize_mask(_cut(mask, window), side)
        line = outlined(shown, small, settings.contour_px, settings.numbered)
        items.append(encode(line, settings))
    if settings.zoom:
        items.append(encode(_resize(_cut(image, box), side), settings))
    layout = PictureLayout(
        zoom=settings.zoom, numbered=settings.numbered and visual_prompt, cropped=cropped
    )
    kind = f"data:image/{settings.encoding};base64,"
    urls = tuple(kind + base64.b64encode(item).decode("ascii") for item in items)
    return PromptPictures(tuple(items), urls, layout, reference is not None)


def full_mask(region: Region | None, height: int, width: int) -> Mask:
    """The region at image resolution, bool (height, width); all True without a region."""
    if region is None or not region.mask_rle:
        return np.ones((height, width), dtype=np.bool_)
    coarse = region_mask(region)
    if coarse.shape == (height, width):
        return coarse
    large = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0.5, dtype=np.bool_)


def crop_box(mask: Mask, settings: VisualSettings) -> CropBox:
    """Square around the region with its margin, inside the image."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0, 0, width, height
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left) * (1 + 2 * settings.crop_margin)
    side = max(side, float(settings.crop_least_px))
    x, w = _span((left + right) / 2, side, width)
    y, h = _span((top + bottom) / 2, side, height)
    return x, y, x + w, y + h


def outlined(image: Image, mask: Mask, line_px: int, numbered: bool = False) -> Image:
    """A copy of ``image`` with the contours of ``mask`` (same size) in red."""
    # A border of zeros keeps a region that touches the edge of the picture closed and visible.
    padded = np.pad(mask.astype(np.uint8), 1)
    contours, _ = cv2.findContours(
        padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(-1, -1)
    )
    drawn = image.copy()
    cv2.drawContours(drawn, contours, -1, RED, line_px, cv2.LINE_8)
    if numbered:
        ordered = sorted(contours, key=lambda c: -float(cv2.contourArea(c)))
        for number, contour in enumerate(ordered, start=1):
            _write_number(drawn, str(number), contour)
    return drawn


def encode(image: Image, settings: VisualSettings) -> bytes:
    """PNG or JPEG of a uint8 RGB image; one channel where all three are equal.

    JPEG is 4:4:4, so that the thin red line keeps its colour.
    """
    is_grey = bool(
        (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all()
    )
    pixels = image[..., 0] if is_grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if settings.encoding == "png":
        level = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        done, data = cv2.imencode(".png", pixels, level + _png_filter())
    else:
        quality = [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality]
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        done, data = cv2.imencode(".jpg", pixels, quality + sampling)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a {image.shape} image as {settings.encoding}")
    return bytes(data)


def _png_filter() -> list[int]:
    """One filter for all rows, not one chosen for each: about as small, a third less time."""
    up = getattr(cv2, "IMWRITE_PNG_FILTER_UP", None)  # OpenCV before 4.12 does not offer it
    return [] if up is None else [cv2.IMWRITE_PNG_FILTER, int(up)]


@lru_cache(maxsize=64)
def _whole_reference(reference: bytes, settings: VisualSettings, bits: int | None) -> bytes:
    """A reference is shown again and again: encoded once."""
    return encode(_resize(decode_image(reference, bits), settings.side_px), settings)


def _common_bits(query: bytes, reference: bytes | None) -> int | None:
    """The depth by which both are shown, so that neither is brighter than it was beside the other;
    None where each file says its own."""
    if reference is None or not (shown := decode_noted(query)).guessed:
        return None
    other = decode_noted(reference)
    return max(shown.bits, other.bits) if other.guessed else None


def _check_share(box: CropBox, height: int, width: int, most: float) -> None:
    share = (box[2] - box[0]) * (box[3] - box[1]) / (height * width)
    if share > most:
        raise EgressError(
            f"egress is 'crop' and the crop would show {share:.0%} of the picture, "
            f"more than crop_most_share ({most:.0%}); allow egress 'full' or ask a plant endpoint"
        )


def _span(centre: float, side: float, limit: int) -> tuple[int, int]:
    length = min(round(side), limit)
    start = min(max(round(centre - length / 2), 0), limit - length)
    return start, length


def _like(picture: Image, height: int, width: int) -> Image:
    """The reference at the query's size, so that one crop box fits both."""
    if picture.shape[:2] == (height, width):
        return picture
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def _cut(raster: Raster, box: CropBox) -> Raster:
    left, top, right, bottom = box
    return raster[top:bottom, left:right]


def _resize(picture: Image, side: int) -> Image:
    smaller = picture.shape[0] * picture.shape[1] > side * side
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    resized = cv2.resize(picture, (side, side), interpolation=how)
    return np.asarray(resized, dtype=np.uint8)


def _resize_mask(mask: Mask, side: int) -> Mask:
    """Shrink so that a region thinner than one pixel of the result is kept."""
    share = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(share > 0, dtype=np.bool_)


def _write_number(drawn: Image, text: str, contour: cv2.typing.MatLike) -> None:
    x, y, w, _ = cv2.boundingRect(contour)
    side = drawn.shape[0]
    scale = side / 800
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    at = (min(x + w + 2, side - wide - 1), max(y, high + 1))
    cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, RED, 1, cv2.LINE_AA)
