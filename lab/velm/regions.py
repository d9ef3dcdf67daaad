"""Regions for an evaluation: from ground-truth masks, or from an expert's anomaly map."""

from typing import Final

import numpy as np

from lab.datasets.folders import DatasetError, Sample
from serving.experts.images import read_image
from serving.experts.regions import make_region
from serving.experts.types import Floats, Image, Mask, Scored
from serving.naming.features import whole
from serving.ray.inspections import to_inspection
from streams.events import Inspection

CUT: Final = 1.0
"""Map value at which an expert outlines (``fuse_maps`` scales to it)."""
MASK_CUT: Final = 0.5


def true_mask(sample: Sample, image: Image) -> Mask:
    """Bool (height, width): above 127; any grey where nothing is (VisA numbers its classes from
    1); the whole picture where there is no mask or an empty one.

    Raises:
        DatasetError: the mask is of another size than the picture.
    """
    if sample.mask is None:
        return whole(image)
    grey = read_image(sample.mask)[:, :, 0]
    if grey.shape != image.shape[:2]:
        raise DatasetError(
            f"{sample.mask}: {grey.shape[1]}x{grey.shape[0]} pixels, but {sample.path.name} has "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    for cut in (127, 0):
        if (grey > cut).any():
            return np.asarray(grey > cut, np.bool_)
    return whole(image)


def inspection_of(
    values: Floats, cut: float, image: Image, scored: Scored | None, expert: str = ""
) -> Inspection:
    """The region measured as the line measures it, also where the expert saw nothing.

    Args:
        values: a map (h, w), or a mask as floats.
        cut: outline above it.
        image: the picture, for its size.
        scored: the expert's answer; None where a person drew the region.
        expert: the artifact's digest.
    """
    height, width = image.shape[:2]
    answer = Scored(
        score=scored.score if scored else 1.0,
        threshold=scored.threshold if scored else 0.5,
        p_value=scored.p_value if scored else 0.0,
        anomalous=scored.anomalous if scored else True,
        anomaly_map=None,
        region=make_region(values, cut, height, width),
        image_height=height,
        image_width=width,
    )
    return to_inspection(answer, "evaluation", expert, {})
