"""How far the reconstruction is from the image: in pixels and in features."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from serving.experts.backbone import Network

_LITE_LAYERS = ("stage1", "stage2", "stage4")
_RESIDUAL_LAYERS = ("stage1", "stage2", "stage3")


def feature_layers(backbone: str) -> tuple[str, ...]:
    """Layers at strides 4, 8 and 16; the paper's first three residual stages.

    Fine-tuning moves all of them; the distance uses those at strides 8 and 16.
    """
    return _LITE_LAYERS if backbone.startswith("efficientnet_lite") else _RESIDUAL_LAYERS


def to_signed(batch: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1]."""
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1


def pixel_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference over colours, (N, H, W)."""
    return (first - second).abs().mean(dim=1)


class Extractor(nn.Module):
    """A pretrained backbone on signed images: (N, 3, H, W) in [-1, 1] to features by layer."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.layers = feature_layers(backbone)
        self.network = Network(backbone, self.layers).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the three layers, fine to coarse."""
        found = self.network((x.permute(0, 2, 3, 1) + 1) * 127.5)
        return [found[layer] for layer in self.layers]


def feature_distance(first: list[Tensor], second: list[Tensor], height: int, width: int) -> Tensor:
    """One minus the cosine of 3 x 3 averaged features, summed over layers, (N, height, width).

    Args:
        first: features of the one image, fine to coarse; the finest layer is left out.
        second: features of the other image.
        height: height of the map, pixels.
        width: width of the map, pixels.
    """
    total = torch.zeros((), device=first[0].device)
    for a, b in zip(first[1:], second[1:], strict=True):
        a, b = (functional.avg_pool2d(f.float(), 3, 1, 1) for f in (a, b))
        apart = 1 - functional.cosine_similarity(a, b, dim=1)
        grown = functional.interpolate(
            apart[:, None], (height, width), mode="bilinear", align_corners=True
        )
        total = total + grown[:, 0]
    return total


def combine(
    pixel: Tensor, feature: Tensor, pixel_scale: float, feature_scale: float, weight: float
) -> Tensor:
    """``D_f / F + v D_p / P`` per pixel, (N, H, W).

    The authors divide by the maxima of the batch in hand; F and P are constants of training, so
    that no other image takes part in an image's score.
    """
    return feature / feature_scale + weight * pixel / pixel_scale


def smooth(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (N, H, W), mirrored at the border, cut at four deviations."""
    radius = min(int(4 * sigma + 0.5), *(side - 1 for side in values.shape[-2:]))
    if radius < 1:
        return values
    offsets = torch.arange(-radius, radius + 1, device=values.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = functional.pad(values[:, None].float(), (radius,) * 4, mode="reflect")
    x = functional.conv2d(x, kernel.view(1, 1, 1, -1))
    return functional.conv2d(x, kernel.view(1, 1, -1, 1))[:, 0]


def sigma_for(smoothing: float, height: int, width: int) -> float:
    """The blur's deviation in pixels of an image whose shorter side is not 256."""
    return smoothing * min(height, width) / 256


def cosine_loss(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """One minus the cosine of whole feature maps, mean over images, summed over layers."""
    terms = [
        (1 - functional.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)).mean()
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack(terms).sum()
