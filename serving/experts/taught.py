"""The taught head at work: from maps by direction to one surprise and one map."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from serving.experts.calibration import Reference, Scores
from serving.experts.fusion import common_grid, head_reference, peak_and_spread
from serving.experts.heads.directions import Directions
from serving.experts.model import Arrays, pack_modules, unpack_part
from serving.experts.types import Floats

TAUGHT = "taught"
"""The head's name among the maps and the surprises."""
ROLES = ("gated", "full")
"""``full`` adds the whole surprise to the other heads' sum, ``gated`` what exceeds that at a
p-value of ``GATE``, which leaves what nobody taught as it was."""
GATE = 0.05
STRONGEST = 2
"""Directions whose mean surprise counts: one alone would let the luckiest of many decide."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Taught:
    """What labelled photographs added to a model."""

    directions: Directions
    references: Scores
    """Held-out normals' peak and spread by direction, (K, 2, M), rows ascending."""
    strongest: Scores
    """Held-out normals' mean of the ``STRONGEST`` highest surprises, (M,), in the training set's
    order."""
    role: str
    """One of ``ROLES``."""
    map_cut: float
    """Value of the strongest direction's map at which the region is outlined, in deviations."""

    def stated(self) -> dict[str, str | float]:
        """Its part of an artifact's manifest."""
        return {"role": self.role, "map_cut": self.map_cut}

    def tensors(self) -> Arrays:
        """Its part of an artifact's tensors."""
        own = {"references": self.references, "strongest": self.strongest}
        return pack_modules({f"{TAUGHT}.directions": self.directions}) | {
            f"{TAUGHT}.{name}": np.ascontiguousarray(values) for name, values in own.items()
        }

    @classmethod
    def restored(cls, tensors: Arrays, role: str, map_cut: float) -> Self:
        """What ``stated`` and ``tensors`` came from."""
        directions = Directions(**unpack_part(tensors, f"{TAUGHT}.directions"))
        own = {
            k: np.asarray(tensors[f"{TAUGHT}.{k}"], np.float64) for k in ("references", "strongest")
        }
        return cls(directions=directions, role=role, map_cut=map_cut, **own)

    @cached_property
    def _known(self) -> list[tuple[Reference, Reference]]:
        return [head_reference(rows) for rows in self.references]

    @cached_property
    def _whole(self) -> Reference:
        return Reference.of(np.sort(self.strongest))

    def held_out(self) -> Scores:
        """(M,) surprise of the training set's normals, none of which had been seen."""
        return self._whole.surprise(self.strongest)

    def surprise(self, maps: Floats) -> Scores:
        """(N,) surprise of standardised maps (N, K, h, w)."""
        return self._whole.surprise(strongest(direction_surprises(maps, self._known)))

    def add(self, fused: Scores, surprise: Scores) -> Scores:
        """The other heads' fused surprise (N,) with that of this head."""
        return add_taught(fused, surprise, self.role)

    def join(self, fused: Floats, maps: Floats) -> Floats:
        """The fused map (N, s, s) in units of the cut, raised where a direction is stronger."""
        own = common_grid(maps.max(axis=1), fused.shape[-1]) / np.float32(self.map_cut)
        return np.asarray(np.maximum(fused, own), np.float32)


def add_taught(fused: Scores, surprise: Scores, role: str) -> Scores:
    """Fused surprises (N,) with those of the taught head, in one of ``ROLES``.

    >>> add_taught(np.array([1.0, 1.0]), np.array([2.0, 4.0]), "gated").round(2).tolist()
    [1.0, 2.0]
    """
    return fused + (surprise if role == "full" else np.clip(surprise + np.log(GATE), 0, None))


def direction_surprises(maps: Floats, known: Sequence[tuple[Reference, Reference]]) -> Scores:
    """(N, K) surprise of standardised maps (N, K, h, w)."""
    count, directions = maps.shape[:2]
    flat = maps.reshape(count * directions, *maps.shape[2:])
    return compare(peak_and_spread(flat).reshape(2, count, directions), known)


def compare(found: Scores, known: Sequence[tuple[Reference, Reference]]) -> Scores:
    """(N, K) surprise of peak and spread (2, N, K): the mean over both."""
    columns = [
        (peak.surprise(found[0, :, k]) + spread.surprise(found[1, :, k])) / 2
        for k, (peak, spread) in enumerate(known)
    ]
    return np.stack(columns, axis=1)


def strongest(surprises: Scores) -> Scores:
    """(N, K) to (N,): the mean of the ``STRONGEST`` highest."""
    kept = min(STRONGEST, surprises.shape[1])
    return np.asarray(np.sort(surprises, axis=1)[:, -kept:].mean(axis=1))
