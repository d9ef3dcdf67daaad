"""Exact nearest neighbours by blocked matrix products. No approximate index."""

import torch
from torch import Tensor

BLOCK_BYTES = 32 << 20
"""Most bytes of the distance product held at once outside a compiled graph."""


def squared_norms(bank: Tensor) -> Tensor:
    """Row norms, squared: (..., M, C) to (..., 1, M)."""
    return bank.square().sum(-1)[..., None, :]


def smallest_squared(queries: Tensor, bank: Tensor, norms: Tensor, count: int = 1) -> Tensor:
    """Squared Euclidean distances to the nearest rows, ascending.

    Args:
        queries: (..., N, C).
        bank: (..., M, C).
        norms: ``squared_norms(bank)``.
        count: neighbours per query; the last axis of the result when above 1.
    """
    gaps = norms - 2 * torch.matmul(queries, bank.transpose(-1, -2))
    own = queries.square().sum(-1)
    if count == 1:
        return (gaps.amin(dim=-1) + own).clamp_min(0)
    nearest = gaps.topk(count, dim=-1, largest=False).values
    return (nearest + own[..., None]).clamp_min(0)


def blocked_smallest_squared(queries: Tensor, bank: Tensor, norms: Tensor) -> Tensor:
    """The same for large (N, C) against (M, C): the product goes through one reused buffer."""
    block = max(1, BLOCK_BYTES // (4 * len(bank)))
    buffer = torch.empty((min(block, len(queries)), len(bank)), dtype=queries.dtype)
    result = torch.empty(len(queries), dtype=queries.dtype)
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        product = torch.addmm(norms, part, bank.T, alpha=-2, out=buffer[: len(part)])
        result[start : start + block] = product.amin(dim=1) + part.square().sum(1)
    return result.clamp_min_(0)
