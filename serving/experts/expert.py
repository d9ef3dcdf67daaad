"""The port that every vision expert implements, and how each puts its answers together."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from serving.experts.calibration import Calibration, Scores
from serving.experts.regions import make_region
from serving.experts.types import Floats, Image, Scored


@runtime_checkable
class Expert(Protocol):
    """Scores images against what normal looks like.

    The f32 score of an image is the same to 1e-6 relative whatever the batch or order.
    """

    @property
    def name(self) -> str:
        """The kind of expert: ``patchcore`` or ``ddad``."""
        ...

    @property
    def version(self) -> str:
        """The artifact's digest; empty before it is saved."""
        ...

    @property
    def product(self) -> str:
        """The product it was trained for."""
        ...

    @property
    def bit_depth(self) -> int | None:
        """Bits of the camera's pixels in 16-bit files, for the decoder; None: counted in each."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What its own tensors take, bytes; not what it shares with others."""
        ...

    def score(self, images: Sequence[Image], maps: bool = True) -> list[Scored]:
        """One answer per image, in order.

        Args:
            images: uint8 RGB arrays of shape (height, width, 3), any sizes, any number.
            maps: also give each image's anomaly map and, when anomalous, its region.
        """
        ...


def answer(
    images: Sequence[Image],
    scores: Scores | Floats,
    maps: Floats | None,
    calibration: Calibration,
    timings_ms: Mapping[str, float],
    heads: Mapping[str, Scores] | None = None,
    region_share: float = 0.0,
) -> list[Scored]:
    """Judge scores (N,) by the threshold and outline what is anomalous.

    Args:
        images: the images that were scored; their sizes are those of the regions.
        scores: one for each image.
        maps: float32 (N, h, w) in units of the region's cut; None where nobody asked for them.
        calibration: the artifact's threshold and held-out scores.
        timings_ms: milliseconds per image, see ``split_time``.
        heads: surprise (N,) by head, where the expert has heads.
        region_share: outline where the map exceeds this share of its peak; 0: where it exceeds 1.
    """
    found = []
    for i, image in enumerate(images):
        height, width = image.shape[:2]
        score, values, region = float(scores[i]), None, None
        anomalous = score > calibration.threshold
        if maps is not None:
            values = maps[i]
            cut = region_share * float(values.max()) or 1.0
            region = make_region(values, cut, height, width) if anomalous else None
        found.append(
            Scored(
                score,
                calibration.threshold,
                calibration.p_value(score),
                anomalous,
                values,
                region,
                height,
                width,
                {name: float(surprise[i]) for name, surprise in (heads or {}).items()},
                timings_ms,
                1 / (calibration.groups + 1),
            )
        )
    return found


def split_time(started: float, prepared: float, inferred: float, count: int) -> dict[str, float]:
    """Milliseconds per image since ``started``, by stage; readings of ``time.perf_counter``."""
    spent = {
        "preprocess": prepared - started,
        "network": inferred - prepared,
        "fuse": time.perf_counter() - inferred,
    }
    return {stage: seconds * 1e3 / count for stage, seconds in spent.items()}
