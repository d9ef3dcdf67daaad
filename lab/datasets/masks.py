"""Ground-truth masks: anomalous above 127, or any grey where nothing is (VisA counts from 1)."""

from pathlib import Path

import numpy as np

from lab.datasets.folders import DatasetError, Sample
from serving.experts.images import read_image
from serving.experts.types import Image, Mask


def read_mask(path: Path, height: int, width: int) -> Mask:
    """A ground-truth picture as bool (height, width), nearest resize."""
    import cv2

    grey = read_image(path)[:, :, 0]
    if grey.shape != (height, width):
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_NEAREST)
    return _anomalous(grey)


def true_mask(sample: Sample, image: Image) -> Mask:
    """Bool (height, width); the whole picture where there is no mask or an empty one.

    Raises:
        DatasetError: the mask is of another size than the picture.
    """
    whole = np.ones(image.shape[:2], np.bool_)
    if sample.mask is None:
        return whole
    grey = read_image(sample.mask)[:, :, 0]
    if grey.shape != image.shape[:2]:
        raise DatasetError(
            f"{sample.mask}: {grey.shape[1]}x{grey.shape[0]} pixels, but {sample.path.name} has "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    mask = _anomalous(grey)
    return mask if mask.any() else whole


def _anomalous(grey: Image) -> Mask:
    return np.asarray(grey > 127 if (grey > 127).any() else grey > 0, np.bool_)
