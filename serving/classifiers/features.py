"""From a picture and its odd region to one descriptor: what the prototypes are compared by.

The region is pooled over two blocks of the backbone after the normal picture's mean at the same
place is taken away: what is left is what the anomaly added. Its geometry follows
(:mod:`serving.classifiers.geometry`).
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from serving.classifiers.exemplars import NormalReference
from serving.classifiers.geometry import region_geometry
from streams.regions import Mask

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

DEFAULT_BACKBONE: Final = "efficientnet_lite0"
INPUT_SIZE: Final = 256
"""Side of the square to which pictures are resized, pixels; squashing beat letterboxing."""
LAYERS: Final = ("stage4", "stage5")
"""Blocks pooled: strides 16 and 32 of EfficientNet-Lite."""
EMBEDDING_LAYER: Final = "stage4"
"""The block whose mean over the picture finds the nearest normal reference."""


class Extractor(Protocol):
    """A frozen backbone."""

    name: str

    def features(self, batch: Image) -> Mapping[str, Floats]:
        """``batch`` uint8 (n, height, width, 3) RGB to float32 (n, channels, h, w) by layer."""
        ...


@dataclass(frozen=True)
class Descriptor:
    """One region: unit-length deep features by layer, and geometry in [0, 1]."""

    deep: Mapping[str, Floats]
    geometry: Floats

    def vector(self, geometry_weight: float) -> Floats:
        """All parts concatenated, float32 (n,)."""
        parts = [self.deep[layer] for layer in sorted(self.deep)]
        return np.concatenate([*parts, geometry_weight * self.geometry]).astype(np.float32)


def resize(image: Image, size: int = INPUT_SIZE) -> Image:
    """Squash to a square, area-averaged, uint8 (size, size, 3)."""
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def describe_regions(
    extractor: Extractor,
    images: Sequence[Image],
    masks: Sequence[Mask],
    normals: NormalReference | None,
) -> list[Descriptor]:
    """One descriptor per picture and its mask (any resolution, the picture's aspect)."""
    if not images:
        return []
    small = np.stack([resize(image) for image in images])
    features = extractor.features(small)
    return [
        Descriptor(
            {layer: pool(features[layer][i], mask, normals, layer) for layer in LAYERS},
            region_geometry(small[i], mask),
        )
        for i, mask in enumerate(masks)
    ]


def pool(features: Floats, mask: Mask, normals: NormalReference | None, layer: str) -> Floats:
    """Mean over the region of ``features`` (channels, h, w) less the normal mean, unit length.

    Without normals the picture's own mean outside the region stands in for them.
    """
    weights = coverage(mask, features.shape[1], features.shape[2])
    if normals is not None:
        centred = features - normals.mean[layer]
    else:
        outside = np.maximum(1.0 - weights / max(float(weights.max()), 1e-6), 1e-3)
        centred = features - ((features * outside).sum((1, 2)) / outside.sum())[:, None, None]
    pooled = (centred * weights).sum((1, 2)) / weights.sum()
    return unit(pooled)


def coverage(mask: Mask, height: int, width: int) -> Floats:
    """Share of each feature cell that the mask covers; all ones when it covers nothing."""
    size = (width, height)
    shares = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return shares if float(shares.sum()) > 0 else np.ones((height, width), np.float32)


def unit(vector: Floats) -> Floats:
    """The vector at length one (a zero vector stays zero)."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def embed(extractor: Extractor, images: Sequence[Image]) -> Floats:
    """One unit vector per picture, float32 (n, channels): for the nearest reference."""
    features = extractor.features(np.stack([resize(image) for image in images]))
    pooled = features[EMBEDDING_LAYER].mean((2, 3))
    return np.stack([unit(row) for row in pooled])


def learn_normals(
    extractor: Extractor,
    encoded: Sequence[bytes],
    decoded: Sequence[Image],
    references: int = 32,
    batch: int = 8,
) -> NormalReference:
    """The mean and spread of normal pictures per cell; ``references`` of them kept as pictures."""
    sums: dict[str, npt.NDArray[np.float64]] = {}
    squares: dict[str, npt.NDArray[np.float64]] = {}
    for start in range(0, len(decoded), batch):
        small = np.stack([resize(image) for image in decoded[start : start + batch]])
        for layer, values in extractor.features(small).items():
            wide = values.astype(np.float64)
            sums[layer] = sums.get(layer, 0.0) + wide.sum(0)
            squares[layer] = squares.get(layer, 0.0) + (wide**2).sum(0)
    count = len(decoded)
    mean = {k: (v / count).astype(np.float32) for k, v in sums.items()}
    std = {
        k: np.sqrt(np.maximum(v / count - (sums[k] / count) ** 2, 1e-12)).astype(np.float32)
        for k, v in squares.items()
    }
    chosen = np.linspace(0, count - 1, min(references, count)).round().astype(int)
    embeddings = np.concatenate([embed(extractor, [decoded[i]]) for i in chosen])
    return NormalReference(tuple(encoded[i] for i in chosen), embeddings, mean, std, count)


class BackboneExtractor:
    """A pretrained backbone of the experts' package, float32; safe to share between threads."""

    def __init__(self, name: str, threads: int) -> None:
        from serving.experts.backbone import load_backbone

        self.name = name
        self._backbone = load_backbone(
            name, device="cpu", layers=LAYERS, size=INPUT_SIZE, threads=threads
        )
        self._lock = threading.Lock()

    def features(self, batch: Image) -> Mapping[str, Floats]:
        """See :class:`Extractor`."""
        with self._lock:
            return self._backbone.features(batch)


@cache
def load_extractor(name: str = DEFAULT_BACKBONE, threads: int = 1) -> Extractor:
    """One extractor per process and backbone; ``threads`` are CPU threads.

    Raises:
        RuntimeUnavailable: the backbone's weights are not installed.
    """
    return BackboneExtractor(name, threads)
