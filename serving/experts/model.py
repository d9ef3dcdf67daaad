"""What every expert's artifact holds, independent of runtime and device."""

from dataclasses import dataclass, field
from typing import Any

from serving.experts.calibration import Calibration
from serving.experts.preprocessing import Preprocessing


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedModel:
    """The part that is the same for every kind of expert."""

    product: str
    backbone: str
    preprocessing: Preprocessing
    calibration: Calibration
    trained: dict[str, Any] = field(default_factory=dict)
    """How it came about: data, options, reasons, libraries. JSON values."""
