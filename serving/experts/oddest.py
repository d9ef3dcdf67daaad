"""The oddest normals as pictures, for somebody who knows whether they are good parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.experts.images import read_image
from serving.experts.pictures import side_by_side
from serving.experts.regions import make_region
from serving.experts.sensitivity import Sensitivity
from serving.experts.types import Image, Scored

if TYPE_CHECKING:
    from serving.experts.composed import ComposedExpert
    from serving.experts.ddad.expert import DdadExpert


@dataclass(frozen=True, eq=False)
class OddPicture:
    """A normal that was found odd by heads which had not seen its part."""

    photograph: Path
    score: float
    picture: Image
    """Its outline on the left, heat on the right; uint8 RGB."""


def draw_oddest(
    expert: "ComposedExpert | DdadExpert", photographs: Sequence[Path]
) -> Iterator[OddPicture]:
    """The oddest normals of an expert that was just trained, oddest first, one after the other.

    Args:
        expert: with the maps that training leaves; one that was loaded has none.
        photographs: what it was trained on.
    """
    found: Sensitivity | None = expert.model.trained.get("sensitivity")
    calibration, maps = expert.model.calibration, getattr(expert, "held_out_maps", {})
    for entry in found["oddest"] if found else []:
        values, score = maps[entry["file"]], entry["score"]
        photograph = next(
            p for p in photographs if f"/{p.as_posix()}".endswith(f"/{entry['file']}")
        )
        image = read_image(photograph, expert.bit_depth)
        height, width = image.shape[:2]
        threshold = calibration.threshold
        judged = (score, threshold, calibration.p_value(score), score > threshold)
        scored = Scored(*judged, values, make_region(values, 1.0, height, width), height, width)
        yield OddPicture(photograph, score, side_by_side(image, scored))
