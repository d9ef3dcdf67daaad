"""Exact nearest neighbours by blocked matrix products. No approximate index."""

import torch
from torch import Tensor


def squared_norms(bank: Tensor) -> Tensor:
    """Row norms, squared: (..., M, C) to (..., 1, M)."""
    return bank.square().sum(-1)[..., None, :]


def smallest_squared(
    queries: Tensor,
    bank: Tensor,
    norms: Tensor,
    count: int = 1,
    excluded: Tensor | None = None,
) -> Tensor:
    """Squared Euclidean distances to the nearest rows, ascending.

    Args:
        queries: (..., N, C).
        bank: (..., M, C).
        norms: ``squared_norms(bank)``.
        count: neighbours per query; the last axis of the result when above 1.
        excluded: bool (N, M), pairs that are not compared.
    """
    # Sign and factor stand with the queries: OpenVINO would move them to the bank otherwise, and
    # multiply all of it for each image.
    gaps = norms + torch.matmul(-2 * queries, bank.transpose(-1, -2))
    if excluded is not None:
        gaps = gaps.masked_fill(excluded, float("inf"))
    own = queries.square().sum(-1)
    if count == 1:
        return (gaps.amin(dim=-1) + own).clamp_min(0)
    nearest = gaps.topk(count, dim=-1, largest=False).values
    return (nearest + own[..., None]).clamp_min(0)
