"""Regions for an evaluation: from a mask, or from an expert's anomaly map."""

from dataclasses import replace
from typing import Final

from serving.experts.regions import make_region
from serving.experts.types import Floats, Image, Scored
from serving.ray.inspections import to_inspection
from streams.events import Inspection

CUT: Final = 1.0
"""Map value at which an expert outlines (``fuse_maps`` scales to it)."""
MASK_CUT: Final = 0.5


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
    drawn = Scored(
        score=1.0,
        threshold=0.5,
        p_value=0.0,
        anomalous=True,
        anomaly_map=None,
        region=make_region(values, cut, height, width),
        image_height=height,
        image_width=width,
    )
    answer = replace(scored, region=drawn.region) if scored else drawn
    return to_inspection(answer, "evaluation", expert, {})
