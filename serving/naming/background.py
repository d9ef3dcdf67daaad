"""What normal looks like, cell by cell: what is taken away before an anomaly is named.

Two uses of the same normal pictures. Naming: a region's features less the mean of the most
similar normal pictures at the same place, so that exposure and position do not speak. Finding: a
map of how far each cell is from every normal cell near it (position-aware PatchCore, Roth et al.
2022), standardised per cell on normals of other parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from serving.naming.features import (
    EMBEDDING_LAYER,
    MAP_LAYERS,
    NAMING_LAYERS,
    Features,
    Floats,
    unit,
)
from streams.regions import Mask

SIMILAR_SHARE: Final = 0.25
"""Share of the normal pictures, the most similar ones, whose mean is taken away."""
NEIGHBOURS: Final = 3
"""Nearest normal cells whose mean distance counts."""
DIMENSIONS: Final = 32
"""Principal components kept of a layer's channels in the bank."""
CUT_QUANTILE: Final = 0.99
"""Share of normal cells that lie below the cut."""
WHITEN_SHRINK: Final = 0.5
"""Share of the mean eigenvalue in each of the deviations' covariance before it is evened out."""
WHITEN_POWER: Final = 0.25
"""Power of the covariance that is divided out: what differs among normal parts counts for less."""
_PLACES: Final = 128
"""Places of the grid that are compared at once."""
FEWEST_FOR_MAP: Final = 8
"""With normal pictures of fewer parts cells cannot be standardised: there is no map."""


@dataclass(frozen=True)
class LayerBank:
    """One layer's normal cells, compared as the vision experts compare theirs, without torch: the
    process that names needs it for nothing else."""

    layer: str
    basis: Floats
    """(dimensions, channels): principal components of the scaled features."""
    cells: Floats
    """(h * w, n, dimensions): each cell of every normal picture."""
    norms: Floats
    """(h * w, n): their squared lengths."""
    mean: Floats
    """(h, w): of the distances of held-out normals."""
    spread: Floats

    @classmethod
    def learn(cls, layer: str, scaled: Floats, groups: npt.NDArray[np.str_]) -> tuple[Self, Floats]:
        """A bank, and the standardised map (n, h, w) of its own pictures, each part held out."""
        basis = _components(scaled)
        queries = np.stack([_project(x, basis) for x in scaled])
        cells = np.ascontiguousarray(_by_cell(queries))
        norms = np.asarray(np.square(cells).sum(-1), np.float32)
        same_part = groups[:, None] == groups[None]
        distances = nearest_distances(queries, cells, norms, same_part)
        spread = np.maximum(0.5 * distances.std(0) + 0.5 * float(distances.std(0).mean()), 1e-6)
        mean = distances.mean(0)
        bank = cls(layer, basis, cells, norms, mean, np.asarray(spread, np.float32))
        return bank, (distances - mean) / bank.spread

    def odd(self, scaled: Floats, own: npt.NDArray[np.bool_]) -> Floats:
        """Standardised distance of each cell (h, w) of scaled features (channels, h, w).

        ``own`` (n,) names the normal pictures that are not compared.
        """
        excluded = own[None] if own.any() else None
        queries = _project(scaled, self.basis)[None]
        distances = nearest_distances(queries, self.cells, self.norms, excluded)[0]
        return np.asarray((distances - self.mean) / self.spread, np.float32)


@dataclass(frozen=True)
class Background:
    """Normal pictures in feature space."""

    scale: Mapping[str, Floats]
    """(channels, 1, 1) by layer: what one unit of deviation is."""
    normals: Mapping[str, Floats]
    """Scaled features (n, channels, h, w) of the naming layers."""
    centre: Floats
    embeddings: Floats
    """(n, channels), unit, less ``centre``."""
    banks: tuple[LayerBank, ...]
    cut: float
    """Map value above which a cell is odd; infinite without banks."""
    parts: npt.NDArray[np.str_]
    """(n,): the part that each picture shows."""
    whitening: Mapping[str, Floats]
    """(channels, channels) by naming layer, for deviations."""

    @classmethod
    def learn(cls, features: Features, groups: Sequence[str]) -> Self:
        """Learn from the features of n normal pictures; ``groups`` names each one's part."""
        scale = {
            layer: values.std(0).mean((1, 2))[:, None, None] + 1e-3
            for layer, values in features.items()
        }
        pooled = features[EMBEDDING_LAYER].mean((2, 3))
        centre = pooled.mean(0)
        normals = {layer: features[layer] / scale[layer] for layer in NAMING_LAYERS}
        names = np.array(groups)
        banks: tuple[LayerBank, ...] = ()
        cut = float("inf")
        if len(set(groups)) >= FEWEST_FOR_MAP:
            learned = [
                LayerBank.learn(layer, features[layer] / scale[layer], names)
                for layer in MAP_LAYERS
            ]
            banks = tuple(bank for bank, _ in learned)
            held_out = np.mean([odd for _, odd in learned], axis=0)
            cut = float(np.quantile(held_out, CUT_QUANTILE))
        embeddings = unit(pooled - centre)
        whitening = {
            layer: _whitening(_own_deviations(values, embeddings, names))
            for layer, values in normals.items()
        }
        return cls(scale, normals, centre, embeddings, banks, cut, names, whitening)

    def embed(self, features: Features) -> Floats:
        """The unit embedding (channels,) of one picture's features."""
        return unit(features[EMBEDDING_LAYER].mean((1, 2)) - self.centre)

    def deviation(self, features: Features, part: str = "") -> dict[str, Floats]:
        """One picture's features by naming layer less the mean of similar normal pictures.

        Those of ``part`` are left out: a picture is not similar to itself.
        """
        similar = self.embeddings @ self.embed(features)
        nearest = _most_similar(similar, self.parts == part)
        return {
            layer: features[layer] / self.scale[layer] - normals[nearest].mean(0)
            for layer, normals in self.normals.items()
        }

    def odd_cells(self, features: Features, part: str = "") -> Mask | None:
        """Cells of one picture that are odd, the oddest at least; None without a map.

        Pictures of ``part`` are left out.
        """
        if not self.banks:
            return None
        own = self.parts == part
        maps = [bank.odd(features[bank.layer] / self.scale[bank.layer], own) for bank in self.banks]
        odd = np.mean(maps, axis=0)
        return np.asarray(odd > min(self.cut, float(odd.max()) * 0.999), np.bool_)


def _most_similar(similar: Floats, own: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The most similar quarter of the normal pictures, those of the ``own`` part left out."""
    count = max(1, min(round(SIMILAR_SHARE * len(similar)), int((~own).sum())))
    return np.argpartition(-np.where(own, -np.inf, similar), count - 1)[:count]


def _own_deviations(
    scaled: Floats, embeddings: Floats, parts: npt.NDArray[np.str_]
) -> npt.NDArray[np.float64]:
    """Covariance (channels, channels) of each normal picture less those most similar to it."""
    channels = scaled.shape[1]
    total = np.zeros((channels, channels))
    similar = embeddings @ embeddings.T
    for i, picture in enumerate(scaled):
        own = parts == parts[i]
        if not own.all():
            rows = picture - scaled[_most_similar(similar[i], own)].mean(0)
            rows = rows.reshape(channels, -1).astype(np.float64)
            total += rows @ rows.T
    return total


def _whitening(covariance: npt.NDArray[np.float64]) -> Floats:
    """The shrunk covariance to the power of minus ``WHITEN_POWER``; of nothing, the identity."""
    values, vectors = np.linalg.eigh(covariance)
    values = (1 - WHITEN_SHRINK) * values + WHITEN_SHRINK * values.mean()
    if values.mean() <= 0:
        return np.eye(len(values), dtype=np.float32)
    evened = vectors / (values / values.mean()) ** WHITEN_POWER
    return np.asarray(evened @ vectors.T, np.float32)


def _components(scaled: Floats) -> Floats:
    rows = scaled.transpose(0, 2, 3, 1).reshape(-1, scaled.shape[1])
    rows = rows - rows.mean(0)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return np.ascontiguousarray(vectors[:, ::-1][:, :DIMENSIONS].T, np.float32)


def _project(scaled: Floats, basis: Floats) -> Floats:
    """(channels, h, w) to (h, w, dimensions), averaged over 3x3 cells."""
    channels, height, width = scaled.shape
    flat = basis @ scaled.reshape(channels, -1)
    smooth = [
        cv2.blur(x.reshape(height, width), (3, 3), borderType=cv2.BORDER_REPLICATE) for x in flat
    ]
    return np.ascontiguousarray(np.stack(smooth, axis=-1), np.float32)


def _by_cell(queries: Floats) -> Floats:
    """(q, h, w, d) to (h * w, q, d)."""
    return queries.reshape(len(queries), -1, queries.shape[-1]).transpose(1, 0, 2)


def nearest_distances(
    queries: Floats,
    cells: Floats,
    norms: Floats,
    excluded: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    """Mean distance (q, h, w) of queries (q, h, w, d) to the nearest cells at the same place.

    Pairs (q, n) that are ``excluded`` are not compared. Some places at a time: all pairs of all
    places together would take more memory than the bank.
    """
    asked = _by_cell(queries)
    found = np.empty(asked.shape[:2], np.float32)
    for start in range(0, len(cells), _PLACES):
        some = slice(start, start + _PLACES)
        gaps = norms[some, None] - 2 * (asked[some] @ cells[some].transpose(0, 2, 1))
        if excluded is not None:
            gaps[:, excluded] = np.inf
        count = min(NEIGHBOURS, gaps.shape[-1])
        nearest = np.partition(gaps, count - 1)[..., :count]
        own = np.square(asked[some]).sum(-1)[..., None]
        found[some] = np.sqrt(np.maximum(nearest + own, 0)).mean(-1)
    return np.ascontiguousarray(found.T.reshape(queries.shape[:3]))
