"""Masks as COCO run-length encoding: the form in which regions travel."""

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from streams.errors import MalformedEventError
from streams.events import Region
from streams.inspections import MASK_CELLS
from streams.run_lengths import read_runs

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
    """The bool mask of shape (height, width) behind an RLE string.

    Takes milliseconds for a large mask: call it off the event loop.

    Raises:
        MalformedEventError: the runs are damaged or do not fill the declared size, or the mask is
            larger than ``MASK_CELLS``. No memory was set aside for it then.
    """
    cells = height * width
    runs = read_runs(rle, cells) if 0 < cells <= MASK_CELLS else None
    if runs is None:
        raise MalformedEventError(
            f"the mask's run lengths ({len(rle)} characters) are not those of {height} x {width} "
            f"cells; at most {MASK_CELLS} cells are read"
        )
    inside = np.arange(runs.size) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


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
