"""The taught head at work: from maps by direction to one surprise and one map."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from serving.experts.calibration import Reference, Scores
from serving.experts.fusion import SPREAD_SHARE, common_grid
from serving.experts.head_state import TAUGHT, HeadState
from serving.experts.model import Arrays, part_arrays
from serving.experts.types import Floats, Rows

if TYPE_CHECKING:
    from serving.experts.heads.directions import Directions

ROLES = ("bounded", "full")
"""How the taught head may count. ``full`` adds its whole surprise to the other heads' sum. With
``bounded`` both speak up beyond a p-value only: twice what this head's surprise exceeds that of
``STEEP_GATE`` by is added to the others' surprise, of which a tenth counts beyond ``BOUND``. So
what nobody taught stays as it was, and an odd normal does not drown what somebody taught. Artifacts
of earlier builds may say ``gated``: the excess over ``GATE``, added to the sum."""
GATE = 0.05
BOUND = 0.05
BEYOND = 0.1
STEEP_GATE = 0.02
STEEP = 2.0
MOST_CELLS = SPREAD_SHARE
"""Share of a map's cells that a direction looks at, at most."""
WEIGHTS = (2 / 3, 1 / 3)
"""How much the strongest and the second strongest direction count: the strongest alone would let
the luckiest of many decide, and a photograph that was labelled by mistake."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Taught:
    """What labelled photographs added to a model."""

    head: HeadState
    """Its directions, see ``serving.experts.heads.directions``."""
    sizes: Rows
    """Cells of each direction's defect, (K,): so many highest cells of its map count."""
    references: Scores
    """Held-out normals' mean of so many highest cells by direction, (K, M), rows ascending."""
    strongest: Scores
    """Held-out normals' highest surprises by ``WEIGHTS``, (M,), in the training set's order."""
    role: str
    """One of ``ROLES``."""
    map_cut: float
    """Value of the strongest direction's map that hardly any normal cell exceeds, in deviations."""
    region_share: float = 0.0
    """The region is where the map exceeds this share of its peak; 0: where it exceeds the cut."""
    others: Scores | None = None
    """Held-out normals' fused surprise of the other heads (M,), ascending; artifacts of earlier
    builds lack it."""

    def stated(self) -> dict[str, str | float]:
        """Its part of an artifact's manifest."""
        return {
            "role": self.role,
            "map_cut": self.map_cut,
            "region_share": self.region_share,
        }

    def tensors(self) -> Arrays:
        """Its part of an artifact's tensors."""
        own = {name: getattr(self, name) for name in ("sizes", "references", "strongest")}
        if self.others is not None:
            own["others"] = self.others
        own |= {f"directions.{name}": values for name, values in self.head.arrays.items()}
        return {f"{TAUGHT}.{name}": np.ascontiguousarray(values) for name, values in own.items()}

    @classmethod
    def restored(
        cls, tensors: Arrays, role: str, map_cut: float, region_share: float = 0.0
    ) -> Self:
        """What ``stated`` and ``tensors`` came from."""
        head = HeadState(TAUGHT, {}, part_arrays(tensors, f"{TAUGHT}.directions"))
        own = {
            k: np.asarray(tensors[f"{TAUGHT}.{k}"], np.float64) for k in ("references", "strongest")
        }
        if (others := tensors.get(f"{TAUGHT}.others")) is not None:
            own["others"] = np.asarray(others, np.float64)
        sizes = np.asarray(tensors[f"{TAUGHT}.sizes"], np.int64)
        return cls(
            head=head,
            sizes=sizes,
            role=role,
            map_cut=map_cut,
            region_share=region_share,
            **own,
        )

    @cached_property
    def directions(self) -> "Directions":
        """The head as a module, for teaching. Loads torch."""
        from serving.experts.heads.directions import Directions
        from serving.experts.tensors import to_tensors

        return Directions(**to_tensors(self.head.arrays))

    @cached_property
    def _known(self) -> list[Reference]:
        return [Reference.of(row) for row in self.references]

    @cached_property
    def _whole(self) -> Reference:
        return Reference.of(np.sort(self.strongest))

    @cached_property
    def _others(self) -> Reference | None:
        return None if self.others is None else Reference.of(self.others)

    def held_out(self) -> Scores:
        """(M,) surprise of the training set's normals, none of which had been seen."""
        return self._whole.surprise(self.strongest)

    def surprise(self, maps: Floats) -> Scores:
        """(N,) surprise of standardised maps (N, K, h, w)."""
        found = compare(highest_cells(maps, self.sizes), self._known)
        return self._whole.surprise(strongest(found))

    def add(self, fused: Scores, surprise: Scores) -> Scores:
        """The other heads' fused surprise (N,) with that of this head."""
        return add_taught(fused, surprise, self.role, self._others)

    def join(self, fused: Floats, maps: Floats) -> Floats:
        """The mean of the fused map (N, s, s) and the strongest direction's, in units of cuts."""
        return join_maps(fused, maps.max(axis=1), self.map_cut)


def add_taught(
    fused: Scores, surprise: Scores, role: str, others: Reference | None = None
) -> Scores:
    """Fused surprises (N,) with those of the taught head.

    Args:
        fused: of the other heads.
        surprise: of the taught head.
        role: one of ``ROLES``, or ``gated``.
        others: held-out normals' fused surprises of the other heads; ``bounded`` needs them.

    >>> add_taught(np.array([1.0, 1.0]), np.array([2.0, 4.0]), "gated").round(2).tolist()
    [1.0, 2.0]
    >>> known = Reference.of(np.sort(np.random.default_rng(0).exponential(size=500)))
    >>> seen = np.array([1.0, 1.0, 9.0]), np.array([3.0, 6.0, 3.0])
    >>> add_taught(*seen, "bounded", known).round(1).tolist()
    [0.9, 5.1, 3.4]
    """
    if role == "full":
        return fused + surprise
    if role == "gated":
        return np.asarray(fused + np.clip(surprise + np.log(GATE), 0, None))
    assert others is not None
    own, bound = others.surprise(fused), -np.log(BOUND)
    kept = np.minimum(own, bound) + BEYOND * np.clip(own - bound, 0, None)
    return np.asarray(kept + STEEP * np.clip(surprise + np.log(STEEP_GATE), 0, None))


def join_maps(fused: Floats, strongest_map: Floats, cut: float) -> Floats:
    """The mean of fused maps (N, s, s), in units of their cut, and of strongest maps (N, h, w)."""
    own = common_grid(strongest_map, fused.shape[-1]) / np.float32(cut)
    return np.asarray((fused + own) / 2, np.float32)


def highest_cells(maps: Floats, sizes: Rows) -> Scores:
    """(N, K) mean of the ``sizes`` (K,) highest cells of maps (N, K, h, w).

    A defect of few cells is looked for in few, a large one in many.
    """
    flat = maps.reshape(*maps.shape[:2], -1)
    most = int(sizes.max())
    highest = np.partition(-flat, most - 1, axis=2)[:, :, :most].astype(np.float64)
    totals = np.cumsum(-np.sort(highest, axis=2), axis=2)
    return np.asarray(totals[:, np.arange(len(sizes)), sizes - 1] / sizes)


def compare(found: Scores, known: Sequence[Reference]) -> Scores:
    """(N, K) surprise of ``highest_cells`` (N, K)."""
    return np.stack([of.surprise(found[:, k]) for k, of in enumerate(known)], axis=1)


def strongest(surprises: Scores) -> Scores:
    """(N, K) to (N,): the two highest by ``WEIGHTS``; of a single direction that one."""
    highest = -np.sort(-surprises, axis=1)[:, : len(WEIGHTS)]
    return np.asarray(np.average(highest, axis=1, weights=WEIGHTS[: highest.shape[1]]))
