"""A DDAD model as an artifact's manifest and tensors, and back."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from serving.experts.calibration import Calibration
from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import DdadModel, Weighing
from serving.experts.ddad.options import SIZES, DdadOptions
from serving.experts.ddad.unet import UNet
from serving.experts.preprocessing import Preprocessing

KIND = "ddad"
_TUPLES = ("guidance", "pixel_weight")


def pack_manifest(model: DdadModel) -> dict[str, Any]:
    """What the manifest says of the model, JSON values; the caller adds schema and digest."""
    return {
        "expert": KIND,
        "product": model.product,
        "backbone": model.backbone,
        "preprocessing": asdict(model.preprocessing),
        "ddad": asdict(model.options),
        "noise_seed": model.noise_seed,
        "adapted": model.adapted,
        "weighing": asdict(model.weighing),
        "calibration": model.calibration.described(),
        "trained": model.trained,
    }


def pack_tensors(model: DdadModel) -> dict[str, np.ndarray]:
    """The UNet's weights, the extractor's when it was adapted, and the held-out scores."""
    parts: dict[str, nn.Module] = {"unet": model.unet}
    if model.adapted:
        parts["extractor"] = model.extractor
    found = {
        f"{name}.{key}": value.detach().cpu().numpy()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    return found | model.calibration.tensors()


def unpack(manifest: dict[str, Any], tensors: dict[str, np.ndarray]) -> DdadModel:
    """The model that ``pack_manifest`` and ``pack_tensors`` describe."""
    own: dict[str, Any] = {k: tuple(v) if k in _TUPLES else v for k, v in manifest["ddad"].items()}
    options = DdadOptions(**own)
    unet = UNet(SIZES[options.unet])
    unet.load_state_dict(_part(tensors, "unet"))
    extractor = Extractor(manifest["backbone"])
    if manifest["adapted"]:
        extractor.load_state_dict(_part(tensors, "extractor"))
    return DdadModel(
        manifest["product"],
        manifest["backbone"],
        Preprocessing(**manifest["preprocessing"]),
        options,
        manifest["noise_seed"],
        unet.eval().requires_grad_(False),
        extractor.eval().requires_grad_(False),
        manifest["adapted"],
        Weighing(**manifest["weighing"]),
        Calibration.restored(manifest["calibration"], tensors),
        manifest["trained"],
    )


def _part(tensors: dict[str, np.ndarray], name: str) -> dict[str, torch.Tensor]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): torch.from_numpy(np.array(value))
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
