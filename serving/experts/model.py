"""What every expert's artifact holds, independent of runtime and device."""

from dataclasses import dataclass, field
from typing import Any

from serving.experts.calibration import Calibration, Scores
from serving.experts.preprocessing import Preprocessing
from serving.experts.types import Floats

Arrays = dict[str, Floats | Scores]
"""Tensors of an artifact by name, on the host."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedModel:
    """The part that is the same for every kind of expert."""

    product: str
    backbone: str
    preprocessing: Preprocessing
    calibration: Calibration
    trained: dict[str, Any] = field(default_factory=dict)
    """How it came about: data, options, reasons, libraries. JSON values."""


def part_arrays(arrays: Arrays, part: str) -> Arrays:
    """The arrays whose names begin with ``<part>.``, by what follows."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
