"""A DDAD model as an artifact's manifest and tensors, and back."""

from dataclasses import asdict
from typing import Any

from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import DdadModel, Weighing
from serving.experts.ddad.options import KIND, SIZES, DdadOptions
from serving.experts.ddad.unet import UNet
from serving.experts.model import Arrays, part_arrays
from serving.experts.tensors import pack_modules, to_tensors

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


def pack_tensors(model: DdadModel) -> Arrays:
    """The UNet's weights, and the extractor's when it was adapted."""
    extractor = {"extractor": model.extractor} if model.adapted else {}
    return pack_modules({"unet": model.unet, **extractor})


def unpack(manifest: dict[str, Any], tensors: Arrays, shared: dict[str, Any]) -> DdadModel:
    """The model that ``pack_manifest`` and ``pack_tensors`` describe, and ``shared`` fields."""
    own: dict[str, Any] = {k: tuple(v) if k in _TUPLES else v for k, v in manifest["ddad"].items()}
    options = DdadOptions(**own)
    unet = UNet(SIZES[options.unet])
    unet.load_state_dict(to_tensors(part_arrays(tensors, "unet")))
    extractor = Extractor(manifest["backbone"])
    if manifest["adapted"]:
        extractor.load_state_dict(to_tensors(part_arrays(tensors, "extractor")))
    return DdadModel(
        **shared,
        options=options,
        noise_seed=manifest["noise_seed"],
        unet=unet.eval().requires_grad_(False),
        extractor=extractor.eval().requires_grad_(False),
        adapted=manifest["adapted"],
        weighing=Weighing(**manifest["weighing"]),
    )
