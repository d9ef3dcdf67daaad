"""Inspections for an evaluation: regions from a mask, or from an expert's anomaly map."""

from dataclasses import replace
from typing import Final

import numpy as np

from lab.datasets.folders import Sample
from lab.datasets.masks import true_mask
from serving.experts.regions import make_region
from serving.experts.types import Floats, Image, Mask, Scored
from serving.ray.inspections import to_inspection
from streams.events import Inspection

CUT: Final = 1.0
"""Map value at which an expert outlines (``fuse_maps`` scales to it)."""
MASK_CUT: Final = 0.5


def outlined(
    scored: Scored, values: Floats, expert: str = "", share: float = 0.0
) -> tuple[Mask, Inspection]:
    """The region of a map (h, w) as the line measures it, also where the expert saw nothing.

    Args:
        scored: the expert's answer.
        values: its anomaly map.
        expert: the artifact's digest.
        share: of the map's peak above which a taught expert outlines; 0: above the cut.
    """
    cut = share * float(values.max()) or CUT
    region = make_region(values, cut, scored.image_height, scored.image_width)
    answer = replace(scored, region=region)
    return region.mask, to_inspection(answer, "evaluation", expert, {})


def drawn(sample: Sample, image: Image) -> tuple[Mask, Inspection]:
    """The ground truth as region, measured as the line measures it.

    Raises:
        DatasetError: the mask is of another size than the picture.
    """
    mask = true_mask(sample, image)
    height, width = image.shape[:2]
    region = make_region(mask.astype(np.float32), MASK_CUT, height, width)
    answer = Scored(1.0, 0.5, 0.0, True, None, region, height, width)
    return mask, to_inspection(answer, "evaluation", "", {})
