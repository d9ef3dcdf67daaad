"""Masks as COCO run-length encoding: the form in which regions travel."""

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from streams.events import Region

Mask = npt.NDArray[np.bool_]


def encode_mask(mask: Mask) -> str:
    """Compressed RLE (ASCII) of a bool array of shape (height, width).

    >>> mask = np.array([[False, True, True], [False, False, True]])
    >>> decode_mask(encode_mask(mask), 2, 3).tolist()
    [[False, True, True], [False, False, True]]
    """
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return str(encoded["counts"].decode("ascii"))


def decode_mask(rle: str, height: int, width: int) -> Mask:
    """The bool mask of shape (height, width) behind an RLE string."""
    counts = {"size": [height, width], "counts": rle.encode("ascii")}
    return np.asarray(coco.decode(counts), dtype=np.bool_)


def region_from_mask(mask: Mask, image_height: int, image_width: int) -> Region:
    """The region behind a mask of an image of that size, without pieces and measures.

    >>> drawn = np.array([[False, True, True], [False, False, True]])
    >>> region_mask(region_from_mask(drawn, 20, 30)).tolist()
    [[False, True, True], [False, False, True]]
    """
    height, width = mask.shape
    return Region(
        image_height=image_height,
        image_width=image_width,
        mask_height=height,
        mask_width=width,
        mask_rle=encode_mask(mask),
    )


def region_mask(region: Region) -> Mask:
    """The region's mask at its own resolution (mask_height, mask_width).

    >>> drawn = np.array([[False, True, True], [False, False, True]])
    >>> size = {"image_height": 20, "image_width": 30, "mask_height": 2, "mask_width": 3}
    >>> region = Region(**size, mask_rle=encode_mask(drawn))
    >>> region_mask(region).tolist()
    [[False, True, True], [False, False, True]]
    """
    return decode_mask(region.mask_rle, region.mask_height, region.mask_width)
