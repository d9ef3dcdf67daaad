"""From an expert's own values to the line's events, and from exceptions to ``Failure``."""

import math

from serving.experts.errors import ExpertError, UndecodableImage
from serving.experts.look import Look
from serving.experts.types import Blob as ExpertBlob
from serving.experts.types import Region as ExpertRegion
from serving.experts.types import Scored
from streams.codes import ReasonCode
from streams.events import Blob, Box, Inspection, Region
from streams.ports import Failure
from streams.regions import encode_mask

MAX_BLOBS = 64
"""Most pieces that travel with an inspection, largest first; ``count`` tells how many there are."""
_TEXT = 512


def to_inspection(
    scored: Scored,
    name: str,
    version: str,
    timings_ms: dict[str, float],
    look: Look | None = None,
) -> Inspection:
    """One answer as it travels; an infinite contrast or peak is written as the largest float.

    Raises:
        ValueError: the score is not a finite number: the model or the device is broken.
    """
    if not math.isfinite(scored.score):
        raise ValueError(f"the expert's score is {scored.score}")
    return Inspection(
        score=scored.score,
        threshold=scored.threshold,
        p_value=scored.p_value,
        least_p_value=scored.least_p_value,
        anomalous=scored.anomalous,
        region=None if scored.region is None else _region(scored.region),
        expert_version=version,
        expert_name=name,
        image_height=scored.image_height,
        image_width=scored.image_width,
        brightness=None if look is None else look.brightness,
        contrast=None if look is None else look.contrast,
        sharpness=None if look is None else look.sharpness,
        timings_ms={k: round(v, 2) for k, v in timings_ms.items()},
    )


def to_failure(error: BaseException) -> Failure:
    """The failure of one image, as a value."""
    message = str(error)[:_TEXT] or type(error).__name__
    if isinstance(error, UndecodableImage):
        return Failure(ReasonCode.UNDECODABLE_IMAGE, "UndecodableImage", message)
    if isinstance(error, ExpertError):
        return Failure(ReasonCode.EXPERT_UNAVAILABLE, type(error).__name__, message)
    return Failure(ReasonCode.EXPERT_UNAVAILABLE, type(error).__name__, message, retryable=True)


def _region(region: ExpertRegion) -> Region:
    height, width = region.mask.shape
    return Region(
        image_height=region.image_height,
        image_width=region.image_width,
        mask_height=height,
        mask_width=width,
        mask_rle=encode_mask(region.mask),
        blobs=tuple(_blob(b) for b in region.blobs[:MAX_BLOBS]),
        area_px=_round(region.area_px),
        longest_side_px=_round(region.longest_side_px),
        count=len(region.blobs),
        contrast=_round(region.contrast),
    )


def _blob(blob: ExpertBlob) -> Blob:
    x, y, width, height = (int(v) for v in blob.box)
    return Blob(
        box=Box(x=x, y=y, width=width, height=height),
        area_px=_round(blob.area_px),
        longest_side_px=_round(blob.longest_side_px),
        centroid_x=_round(blob.centroid[0]),
        centroid_y=_round(blob.centroid[1]),
        peak=_round(blob.peak),
    )


def _round(value: float) -> float:
    """Four decimals: far below a pixel, and a third of the bytes."""
    bound = 1e30
    return round(min(max(float(value), -bound), bound), 4)
