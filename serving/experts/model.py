"""What every expert's artifact holds, independent of runtime and device."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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


def pack_modules(parts: Mapping[str, nn.Module]) -> Arrays:
    """All parameters and buffers of modules, named ``<part>.<name>``."""
    return {
        f"{part}.{name}": value.detach().cpu().numpy()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }


def module_bytes(modules: Iterable[nn.Module]) -> int:
    """What the parameters and buffers of modules take, bytes."""
    return sum(v.nbytes for module in modules for v in module.state_dict().values())


def unpack_part(arrays: Arrays, part: str) -> dict[str, Tensor]:
    """What ``pack_modules`` named after ``part``; copies where the arrays may not be written."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): torch.from_numpy(
            value if value.flags.writeable else np.array(value)
        )
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
