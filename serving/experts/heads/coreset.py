"""Greedy k-centre coreset on random projections, in bounded memory (Roth et al. 2022, alg. 1).

Patches come chunk by chunk; each chunk is reduced greedily, and the greedy pass over the union of
the reductions picks the final centres (composable coresets: a constant factor of the optimum).
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def greedy(points: Tensor, count: int, seed: int = 0) -> Tensor:
    """Row numbers of ``count`` points, each the farthest from those before it.

    Args:
        points: (N, D); distances are Euclidean.
        count: at most N are picked.
        seed: picks the first.
    """
    total = min(count, len(points))
    chosen = torch.empty(total, dtype=torch.long)
    if not total:
        return chosen
    generator = torch.Generator().manual_seed(seed)
    current = int(torch.randint(len(points), (1,), generator=generator))
    norms = points.square().sum(1)
    nearest = torch.full((len(points),), float("inf"))
    gaps = torch.empty(len(points))
    for i in range(total):
        chosen[i] = current
        torch.mv(points, points[current], out=gaps)
        gaps.mul_(-2).add_(norms).add_(norms[current])
        torch.minimum(nearest, gaps, out=nearest)
        nearest[current] = -1
        current = int(nearest.argmax())
    return chosen


def projection(dimensions: int, kept: int, seed: int) -> Tensor:
    """A Gaussian random projection (D, kept) that keeps distances in the mean."""
    generator = torch.Generator().manual_seed(seed)
    matrix: Tensor = torch.randn(dimensions, kept, generator=generator)
    return matrix.div(kept**0.5)


def coreset(chunks: Iterable[Tensor], count: int, kept: int = 32, seed: int = 0) -> Tensor:
    """``count`` representative rows of all chunks; holds one chunk and the reductions.

    Args:
        chunks: (n, D) float32 each.
        count: rows to keep.
        kept: dimensions of the random projection.
    """
    reduced: list[Tensor] = []
    matrix: Tensor | None = None
    for i, chunk in enumerate(chunks):
        if matrix is None:
            matrix = projection(chunk.shape[1], min(kept, chunk.shape[1]), seed)
        reduced.append(chunk[greedy(chunk @ matrix, count, seed + i)])
    if matrix is None:
        raise ValueError("no patches to select from")
    union = torch.cat(reduced)
    if len(reduced) == 1:
        return union
    return union[greedy(union @ matrix, count, seed)]
