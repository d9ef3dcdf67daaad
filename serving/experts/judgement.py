"""What teaching gained, judged by exemplars whose part gave no direction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from serving.experts.calibration import Calibration, Reference, Scores, calibrate
from serving.experts.composed import Model
from serving.experts.fusion import fuse_surprises
from serving.experts.heads.directions import Directions
from serving.experts.mixtures import Mixtures
from serving.experts.normal_cells import ExemplarCells, HeldDirections
from serving.experts.taught import ROLES, add_taught, compare, highest_cells, join_maps, strongest
from serving.experts.tradeoff import (
    RATES,
    FoundRow,
    ShareInterval,
    interval,
    redraw_false_alarms,
    share_by_part,
)
from serving.experts.training_set import TrainingSet
from serving.experts.types import Floats, Mask, enlarge

_SHARES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of a map's peak that are tried for the region; 0 is the cut alone."""
_FEWEST_DRAWN = 3
"""Drawn exemplars that the share is chosen by, at least."""
_LEAST_GAIN = 0.1
"""What a head must gain in full over a bounded one, in the sum of two ``_mean_rank``."""
_MOST_LOST = 0.04
"""What a class that was left out may lose by a head that counts in full, see ``_mean_rank``."""
_WORST = 0.1
"""False-alarm rates up to this one count when roles are compared."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A labelled photograph as the untaught heads and the directions see it."""

    digest: str
    class_name: str
    part: str
    cells: ExemplarCells
    """The tile that shows most of the defect."""
    tile: int
    """Which of its tiles that is."""
    layers: list[Tensor]
    """Relative layers of all its tiles in half precision, (tiles, C, h, w) each."""
    surprises: dict[str, Scores]
    """(tiles,) by scoring head."""
    fused: Floats
    """The untaught heads' map of the tile that shows most, (s, s), in units of its cut."""
    mask: Mask | None
    """The defect on that tile, (H, W); None where nobody drew it."""

    def score(self, model: Model) -> float:
        """What an expert of ``model``, taught or not, says of the photograph; rounded otherwise."""
        fused = fuse_surprises(self.surprises, model.roles)
        if model.taught is not None:
            maps = self.maps(model.taught.directions)
            fused = model.taught.add(fused, model.taught.surprise(maps))
        return float(model.preprocessing.per_image(fused)[0])

    def maps(self, directions: Directions) -> Floats:
        """Standardised maps by direction, (tiles, K, h, w)."""
        with torch.inference_mode():
            found: Tensor = directions.of_layers([layer.float() for layer in self.layers])
        return np.asarray(found.numpy())


@dataclass(frozen=True, eq=False)
class RoleChoice:
    """How the taught head counts, and the threshold that goes with it."""

    role: str
    calibration: Calibration
    classes: dict[str, dict[str, int]]
    """Photographs and parts by class."""
    at_rates: tuple[FoundRow, ...]
    """What every rate finds of parts that gave no direction."""
    pictures: tuple[str, ...]
    """Digests of the photographs."""

    def described(self) -> dict[str, object]:
        """JSON values for the manifest."""
        return {
            "role": self.role,
            "classes": self.classes,
            "at_rates": list(self.at_rates),
            "pictures": list(self.pictures),
        }


class Judgement:
    """Held-out normals and exemplars, each judged by directions that its part did not give."""

    def __init__(
        self,
        model: Model,
        training: TrainingSet,
        seen: Sequence[Seen],
        held: HeldDirections,
        mixtures: Mixtures,
    ) -> None:
        self.model, self.seen, self._mixtures = model, seen, mixtures
        self._own = np.arange(len(mixtures.weights)) < mixtures.kept
        self._shown = np.array([s.part for s in seen])
        self._parts = training.parts[:: training.tiles]
        _, index, sizes = np.unique(self._parts, return_inverse=True, return_counts=True)
        self._weights = 1.0 / sizes[index]
        self._normals_before = fuse_surprises(training.held_out, model.roles)
        self._exemplars_before = [fuse_surprises(s.surprises, model.roles) for s in seen]
        self.others = np.sort(self._normals_before)
        self._others = Reference.of(self.others)
        known = [Reference.of(np.sort(values)) for values in held.highest.T]
        self._normals = compare(held.highest, known)
        maps = [own.maps(held.directions) for own in seen]
        self._exemplars = [compare(highest_cells(m, held.sizes), known) for m in maps]
        self._maps = [m[own.tile] for m, own in zip(maps, seen, strict=True)]

    def strongest(self) -> Scores:
        """Held-out normals' mean of the highest surprises over all directions, (N,)."""
        return strongest(self._normals[:, self._own])

    def choose(self) -> RoleChoice:
        """The role that finds most of parts and of classes whose exemplars gave no direction.

        A head that counts in full costs classes that nobody taught, and not every artifact has
        exemplars that show it: it must gain a lot, and lose no class that was left out.
        """
        classes = [s.class_name for s in self.seen]
        by_part = {role: self._judge(self._shown, role, self._without_part) for role in ROLES}
        by_class = {
            role: self._judge(np.array(classes), role, self._mixtures.without) for role in ROLES
        }
        before = np.array([self._rank(self._normals_before, s) for s in self._exemplars_before])
        labels = np.array(classes)
        lost = max(
            _mean_rank(before[labels == name]) - _mean_rank(by_class["full"][labels == name])
            for name in set(classes)
        )
        reached = {r: _mean_rank(by_part[r]) + _mean_rank(by_class[r]) for r in ROLES}
        gained = reached["full"] - reached["bounded"]
        role = "full" if gained >= _LEAST_GAIN and lost <= _MOST_LOST else "bounded"
        rate = self.model.calibration.asked_rate
        values = self.strongest()
        values = Reference.of(np.sort(values)).surprise(values)
        scores = self._per_image(add_taught(self._normals_before, values, role, self._others))
        rates = sorted({*RATES, rate})
        return RoleChoice(
            role,
            calibrate(scores, self._parts, rate),
            {name: self._photographs(name) for name in sorted(set(classes))},
            tuple(self._row(scores, r, by_part[role], before) for r in rates),
            tuple(s.digest for s in self.seen),
        )

    def choose_share(self, cut: float) -> float:
        """The share of a map's peak that outlines drawn exemplars best, by other parts' directions.

        Args:
            cut: that of the strongest direction's map, see ``Taught.map_cut``.
        """
        found: list[list[float]] = []
        for own, maps in zip(self.seen, self._maps, strict=True):
            others = self._without_part(self._shown == own.part)
            if own.mask is None or not own.mask.any() or not others.any():
                continue
            joined = join_maps(own.fused[None], maps[others].max(axis=0)[None], cut)[0]
            found.append([_overlap(joined, own.mask, share) for share in _SHARES])
        if len(found) < _FEWEST_DRAWN:
            return 0.0
        return _SHARES[int(np.argmax(np.mean(found, axis=0)))]

    def _photographs(self, name: str) -> dict[str, int]:
        own = [s.part for s in self.seen if s.class_name == name]
        return {"photographs": len(own), "parts": len(set(own))}

    def _row(self, scores: Scores, rate: float, after: Scores, before: Scores) -> FoundRow:
        """What a rate finds of each class by the directions of other parts, and found before."""
        found = calibrate(scores, self._parts, rate)
        parts = np.array(self._parts)
        above = share_by_part(scores > found.threshold, parts)
        return {
            "asked_rate": rate,
            "rate": found.rate,
            "threshold": found.threshold,
            "false_alarms": redraw_false_alarms(scores, self._parts, rate),
            "classes": self._by_class(after <= above),
            "before": self._by_class(before <= above),
        }

    def _by_class(self, flags: Mask) -> dict[str, ShareInterval]:
        found = {}
        for name in sorted({s.class_name for s in self.seen}):
            own = [i for i, s in enumerate(self.seen) if s.class_name == name]
            parts = np.array([self.seen[i].part for i in own])
            found[name] = interval(share_by_part(flags[own], parts), len(set(parts)))
        return found

    def _without_part(self, theirs: Mask) -> Mask:
        """Directions (K,) to which the part of these exemplars (E,) gave nothing."""
        return self._mixtures.without_part(theirs, str(self._shown[theirs][0]))

    def _judge(
        self, groups: npt.NDArray[np.str_], role: str, usable: Callable[[Mask], Mask]
    ) -> Scores:
        """Share of normals as odd as each exemplar by other groups' directions alone, (E,)."""
        found = np.ones(len(groups))
        for name in sorted(set(groups)):
            others = usable(groups == name)
            rows = np.flatnonzero(groups == name)
            if not others.any():
                for i in rows:
                    found[i] = self._rank(self._normals_before, self._exemplars_before[int(i)])
                continue
            values = strongest(self._normals[:, others])
            known = Reference.of(np.sort(values))
            normals = add_taught(self._normals_before, known.surprise(values), role, self._others)
            for i in rows:
                own = known.surprise(strongest(self._exemplars[int(i)][:, others]))
                before = self._exemplars_before[int(i)]
                found[i] = self._rank(normals, add_taught(before, own, role, self._others))
        return found

    def _rank(self, normals: Scores, exemplar: Scores) -> float:
        """Share of parts, each weighing one, whose photographs are as odd as the exemplar."""
        above = self._per_image(normals) >= exemplar.max()
        return float(self._weights[above].sum() / self._weights.sum())

    def _per_image(self, values: Scores) -> Scores:
        return self.model.preprocessing.per_image(values)


def _overlap(values: Floats, mask: Mask, share: float) -> float:
    """Intersection over union of the outlined region and the mask."""
    inside = (values > (share * float(values.max()) or 1.0)).astype(np.float32)
    outlined = enlarge(inside, *mask.shape) > 0.5
    return float((outlined & mask).sum() / max((outlined | mask).sum(), 1))


def _mean_rank(shares: Scores) -> float:
    """1 where no normal is as odd, 0 where a share of ``_WORST`` is; the mean over exemplars."""
    return float(np.clip(1 - shares / _WORST, 0, None).mean())
