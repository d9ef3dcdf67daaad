"""A DDAD model as an artifact's manifest and tensors, and back."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from serving.experts.calibration import Scores
from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import DdadModel, Weighing
from serving.experts.ddad.options import SIZES, DdadOptions
from serving.experts.ddad.unet import UNet
from serving.experts.types import Floats

KIND = "ddad"
_TUPLES = ("guidance", "pixel_weight")


def pack_manifest(model: DdadModel) -> dict[str, object]:
    """What the manifest says of this kind of model alone, JSON values."""
    return {
        "expert": KIND,
        "ddad": asdict(model.options),
        "noise_seed": model.noise_seed,
        "adapted": model.adapted,
        "weighing": asdict(model.weighing),
    }


def pack_tensors(model: DdadModel) -> dict[str, Floats | Scores]:
    """The UNet's weights, and the extractor's when it was adapted."""
    parts: dict[str, nn.Module] = {"unet": model.unet}
    if model.adapted:
        parts["extractor"] = model.extractor
    return {
        f"{name}.{key}": value.detach().cpu().numpy()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


def unpack(
    manifest: dict[str, Any], tensors: dict[str, Floats | Scores], shared: dict[str, Any]
) -> DdadModel:
    """The model that ``pack_manifest`` and ``pack_tensors`` describe, and ``shared`` fields."""
    own: dict[str, Any] = {k: tuple(v) if k in _TUPLES else v for k, v in manifest["ddad"].items()}
    options = DdadOptions(**own)
    unet = UNet(SIZES[options.unet])
    unet.load_state_dict(_part(tensors, "unet"))
    extractor = Extractor(manifest["backbone"])
    if manifest["adapted"]:
        extractor.load_state_dict(_part(tensors, "extractor"))
    return DdadModel(
        **shared,
        options=options,
        noise_seed=manifest["noise_seed"],
        unet=unet.eval().requires_grad_(False),
        extractor=extractor.eval().requires_grad_(False),
        adapted=manifest["adapted"],
        weighing=Weighing(**manifest["weighing"]),
    )


def _part(tensors: dict[str, Floats | Scores], name: str) -> dict[str, torch.Tensor]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): torch.from_numpy(np.array(value))
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
