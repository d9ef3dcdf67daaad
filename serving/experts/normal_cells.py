"""Patch features of an artifact's normals, and the directions that labelled cells give in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from serving.experts.calibration import Scores
from serving.experts.heads.directions import (
    Directions,
    describe_cells,
    project,
    relative_layers,
)
from serving.experts.mixtures import Mixtures
from serving.experts.options import Progress
from serving.experts.runtime import Runner
from serving.experts.taught import MOST_CELLS, highest_cells
from serving.experts.types import Floats, Image, Mask, Rows

SHRINK = 0.5
"""Share of the mean eigenvalue that is added to each: directions hardly seen stay in bounds."""
_PRIOR = 8
"""Cell statistics are shrunk to those of all cells as if by so many more normals."""
_BATCH = 32
_MOST_AT_ONCE = 32
"""Directions projected at once: a bound on memory."""
_LEAST_COVERED = 0.25
"""Share of a cell that the mask must cover; where it covers none so far, the best covered count."""


@dataclass(frozen=True, eq=False)
class ExemplarCells:
    """A labelled photograph as the head sees it."""

    layers: list[Tensor]
    """Relative layers, (1, C, h, w) each."""
    weights: Tensor
    """Share of each cell of the finest grid in the defect, (P,), summing to 1."""

    @property
    def size(self) -> int:
        """Cells of the defect, a share of ``MOST_CELLS`` of all at most."""
        most = max(1, round(MOST_CELLS * len(self.weights)))
        return min(most, int((self.weights > 0).sum()))

    @cached_property
    def mean(self) -> Tensor:
        """The defect's mean cell, (C,)."""
        cells: Tensor = describe_cells(self.layers)[0].flatten(1)
        return cells @ self.weights


@dataclass(frozen=True, eq=False)
class HeldDirections:
    """Directions fitted on all normals, and what held-out normals show in them."""

    directions: Directions
    sizes: Rows
    """Cells of each direction's defect, (K,)."""
    highest: Scores
    """(N, K) mean of so many highest cells of maps by directions of other folds."""
    strongest_map: Floats
    """(N, h, w), the highest of the expert's own directions."""


class NormalCells:
    """The normals, described once, with what each fold adds to mean and covariance.

    Args:
        backbone: uint8 pictures to features, with at least ``TAUGHT_LAYERS``.
        pixels: uint8 (N, H, W, 3), prepared.
        folds: rows of each fold; parts are never split.
        fixtured: whether a cell has a mean of its own; tiles of one photograph share theirs.
        report: told of every batch.
    """

    def __init__(
        self,
        backbone: Runner,
        pixels: Image,
        folds: Sequence[Rows],
        fixtured: bool,
        report: Progress,
    ) -> None:
        self.backbone, self.folds = backbone, folds
        parts = []
        for start in range(0, len(pixels), _BATCH):
            parts.append([x.half() for x in self.describe(pixels[start : start + _BATCH])])
            report("describe", min(start + _BATCH, len(pixels)), len(pixels))
        self._layers = [torch.cat(layer) for layer in zip(*parts, strict=True)]
        sums = [self._sums(rows) for rows in folds]
        self._first = torch.stack([first for first, _ in sums])
        self._second = torch.stack([second for _, second in sums])
        self._fixtured = fixtured

    def describe(self, pixels: Image) -> list[Tensor]:
        """Relative layers of prepared pictures."""
        with torch.inference_mode():
            found = {k: torch.from_numpy(v) for k, v in self.backbone(pixels).items()}
            return relative_layers(found)

    def hold_out(
        self,
        exemplars: Sequence[ExemplarCells],
        mixtures: Mixtures,
        hard: Sequence[ExemplarCells] = (),
    ) -> HeldDirections:
        """Directions of the exemplars, and the normals' maps by directions of the other folds.

        Args:
            exemplars: labelled defects.
            mixtures: which of them give each direction.
            hard: marked cells of normals that look like defects: they widen the covariance.
        """
        fitted = [self._fit(exemplars, hard, fold) for fold in (*range(len(self.folds)), None)]
        logs = np.log([e.size for e in exemplars])
        sizes = np.exp(mixtures.weights @ logs).round().astype(np.int64)
        shares = torch.from_numpy(mixtures.weights.astype(np.float32))
        bounds = [*range(0, mixtures.kept, _MOST_AT_ONCE), mixtures.kept]
        bounds += [*range(mixtures.kept, len(shares), _MOST_AT_ONCE)[1:], len(shares)]
        chunks = [
            self._held(shares[start:end], sizes[start:end], fitted)
            for start, end in pairwise(bounds)
            if start < end
        ]
        directions = Directions(
            *(
                torch.cat([getattr(chunk.directions, name) for chunk in chunks])
                for name in ("weights", "cell_mean", "cell_inverse")
            )
        )
        own = chunks[: -(-mixtures.kept // _MOST_AT_ONCE)]
        return HeldDirections(
            directions,
            sizes,
            np.concatenate([chunk.highest for chunk in chunks], axis=1),
            np.max([chunk.strongest_map for chunk in own], axis=0),
        )

    def _held(
        self, shares: Tensor, sizes: Rows, fitted: Sequence[tuple[Tensor, Tensor]]
    ) -> HeldDirections:
        maps: list[Tensor] = []
        for rows, (found, offset) in zip(self.folds, fitted, strict=False):
            mean = torch.einsum("ke,ehw->khw", shares, offset)
            maps.append(torch.cat([project(x, shares @ found) for x in self._batches(rows)]) - mean)
        moments = [_Moments.of(m) for m in maps]
        whole = _Moments.total(moments)
        mean, inverse = whole.statistics()
        order = np.argsort(np.concatenate(self.folds))
        standard = torch.cat(
            [
                _standardise(m, (whole - own).statistics())
                for m, own in zip(maps, moments, strict=True)
            ]
        ).numpy()[order]
        final, offset = fitted[-1]
        whole_mean = mean + torch.einsum("ke,ehw->khw", shares, offset)
        return HeldDirections(
            Directions(shares @ final, whole_mean, inverse),
            sizes,
            highest_cells(standard, sizes),
            standard.max(axis=1),
        )

    def _fit(
        self,
        exemplars: Sequence[ExemplarCells],
        hard: Sequence[ExemplarCells],
        without: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Directions (K, C) of unit deviation without one fold, and the mean cell's projection."""
        kept = [i for i in range(len(self.folds)) if i != without]
        count = sum(len(self.folds[i]) for i in kept)
        centre = self._first[kept].sum(0) / count
        if not self._fixtured:
            centre = centre.mean(1, keepdim=True).expand_as(centre)
        cells = count * centre.shape[1]
        covariance = self._second[kept].sum(0) / cells - centre @ centre.T * (count / cells)
        ridge = SHRINK * covariance.diagonal().mean()
        shrunk = covariance + ridge * torch.eye(len(covariance), dtype=torch.float64)
        for gap in _gaps(hard, centre):
            shrunk = shrunk + torch.outer(gap, gap)
        gaps = torch.stack(_gaps(exemplars, centre))
        found = torch.linalg.solve(shrunk, gaps.T).T
        deviation = (found @ covariance * found).sum(1, keepdim=True).clamp_min(1e-12).sqrt()
        found = found / deviation
        side = self._layers[0].shape[-2:]
        return found.float(), (found @ centre).float().reshape(len(found), *side)

    def _sums(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Sum over rows of each cell (C, P), and of all cells' outer products (C, C)."""
        first, second = None, None
        for layers in self._batches(rows):
            x = describe_cells(layers).flatten(2)
            flat = x.transpose(0, 1).flatten(1)
            one, two = x.sum(0).double(), (flat @ flat.T).double()
            first, second = (
                (one, two) if first is None or second is None else (first + one, second + two)
            )
        assert first is not None
        assert second is not None
        return first, second

    def _batches(self, rows: Rows) -> Iterator[list[Tensor]]:
        for start in range(0, len(rows), _BATCH):
            chosen = torch.from_numpy(rows[start : start + _BATCH])
            yield [layer[chosen].float() for layer in self._layers]


def mark_cells(mask: Mask | Floats, height: int, width: int) -> Tensor:
    """Each cell's share (P,) of a mask of any size; the shares sum to 1."""
    covered = cv2.resize(
        np.asarray(mask, np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    least = min(_LEAST_COVERED, float(covered.max()))
    weights = np.where(covered >= least, covered, 0).ravel()
    return torch.from_numpy((weights / weights.sum()).astype(np.float32))


def _gaps(pictures: Sequence[ExemplarCells], centre: Tensor) -> list[Tensor]:
    """How the marked cells differ from the normals' mean cells (C, P), (C,) each."""
    return [p.mean.double() - centre @ p.weights.double() for p in pictures]


@dataclass(frozen=True, eq=False)
class _Moments:
    """Count, sum and sum of squares (K, h, w) of maps."""

    count: int
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> "_Moments":
        return cls(len(maps), maps.double().sum(0), maps.double().square().sum(0))

    @classmethod
    def total(cls, parts: "Sequence[_Moments]") -> "_Moments":
        return cls(
            sum(p.count for p in parts),
            torch.stack([p.first for p in parts]).sum(0),
            torch.stack([p.second for p in parts]).sum(0),
        )

    def __sub__(self, other: "_Moments") -> "_Moments":
        return _Moments(
            self.count - other.count, self.first - other.first, self.second - other.second
        )

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and inverse deviation (K, h, w), shrunk to those of all cells."""
        share = self.count / (self.count + _PRIOR)
        own = self.first / self.count
        spread = self.second / self.count - own.square()
        every = own.mean((1, 2), keepdim=True)
        whole = self.second.mean((1, 2), keepdim=True) / self.count - every.square()
        mean = share * own + (1 - share) * every
        variance = share * spread + (1 - share) * whole + 1e-2 * whole + 1e-12
        return mean.float(), variance.rsqrt().float()


def _standardise(maps: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
    return (maps - statistics[0]) * statistics[1]
