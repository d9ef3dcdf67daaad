"""Ground-truth masks: anomalous above 127, or any grey where nothing is (VisA counts from 1)."""

from pathlib import Path

import numpy as np

from lab.datasets.folders import DatasetError, Sample
from serving.experts.images import read_marked
from serving.experts.types import Image, Mask


def read_mask(path: Path, height: int, width: int) -> Mask:
    """A ground-truth picture as bool (height, width), nearest resize."""
    import cv2

    marked = read_marked(path)
    if marked.shape != (height, width):
        size = (width, height)
        resized = cv2.resize(marked.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        marked = np.asarray(resized > 0, np.bool_)
    return marked


def true_mask(sample: Sample, image: Image) -> Mask:
    """Bool (height, width); the whole picture where there is no mask or an empty one.

    Raises:
        DatasetError: the mask is of another size than the picture.
    """
    whole = np.ones(image.shape[:2], np.bool_)
    if sample.mask is None:
        return whole
    mask = read_marked(sample.mask)
    if mask.shape != image.shape[:2]:
        raise DatasetError(
            f"{sample.mask}: {mask.shape[1]}x{mask.shape[0]} pixels, but {sample.path.name} has "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    return mask if mask.any() else whole
