"""Arrays of an artifact as tensors of modules, and back."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from serving.experts.model import Arrays


def pack_modules(parts: Mapping[str, nn.Module]) -> Arrays:
    """All parameters and buffers of modules, named ``<part>.<name>``."""
    return {
        f"{part}.{name}": value
        for part, module in parts.items()
        for name, value in module_arrays(module).items()
    }


def module_arrays(module: nn.Module) -> Arrays:
    """All parameters and buffers of a module by name."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def module_bytes(modules: Iterable[nn.Module]) -> int:
    """What the parameters and buffers of modules take, bytes."""
    return sum(v.nbytes for module in modules for v in module.state_dict().values())


def to_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Tensors that lie where the arrays do; copies where these may not be written."""
    return {
        name: torch.from_numpy(value if value.flags.writeable else np.array(value))
        for name, value in arrays.items()
    }
