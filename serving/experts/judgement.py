"""What teaching gained, judged by exemplars whose part gave no direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from serving.experts.calibration import Calibration, Reference, Scores, calibrate
from serving.experts.composed import Model
from serving.experts.fusion import fuse_surprises, head_reference
from serving.experts.normal_cells import ExemplarCells, HeldDirections
from serving.experts.taught import TAUGHT, compare, direction_surprises, strongest
from serving.experts.training_set import TrainingSet
from serving.experts.types import Mask

ROLES = ("gated", "full")
"""Roles that are tried, see ``fusion.fuse_surprises``; the first wins a draw."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A labelled photograph as the untaught heads and the directions see it."""

    digest: str
    class_name: str
    part: str
    cells: ExemplarCells
    """The tile that shows most of the defect."""
    layers: list[Tensor]
    """Relative layers of all its tiles, (tiles, C, h, w) each."""
    surprises: dict[str, Scores]
    """(tiles,) by scoring head."""


@dataclass(frozen=True, eq=False)
class RoleChoice:
    """How the taught head counts, and the threshold that goes with it."""

    role: str
    calibration: Calibration
    found: dict[str, dict[str, int]]
    """By class: photographs, parts, and how many the untaught and the taught expert find, the
    latter with the directions of other parts alone."""
    pictures: tuple[str, ...]
    """Digests of the photographs."""

    def described(self) -> dict[str, object]:
        """JSON values for the manifest."""
        return {"role": self.role, "classes": self.found, "pictures": list(self.pictures)}


class Judgement:
    """Held-out normals and exemplars, each judged by directions that its part did not give."""

    def __init__(
        self, model: Model, training: TrainingSet, seen: Sequence[Seen], held: HeldDirections
    ) -> None:
        self.model, self.training, self.seen, self.held = model, training, seen, held
        self._known = [
            head_reference(np.sort(rows)) for rows in held.peak_and_spread.transpose(2, 0, 1)
        ]
        self._normals = compare(held.peak_and_spread, self._known)
        self._exemplars = [
            direction_surprises(held.directions.of_layers(own.layers).numpy(), self._known)
            for own in seen
        ]

    def strongest(self) -> Scores:
        """Held-out normals' mean of the highest surprises over all directions, (N,)."""
        return strongest(self._normals)

    def choose(self) -> RoleChoice:
        """The role that finds most exemplars of parts and of classes held out."""
        parts, classes = [s.part for s in self.seen], [s.class_name for s in self.seen]
        found = {role: self._judge(parts, role) for role in ROLES}
        every = {role: found[role].sum() + self._judge(classes, role).sum() for role in ROLES}
        role = max(ROLES, key=lambda r: every[r])
        before = self._found_before()
        stated = {
            name: {
                "photographs": classes.count(name),
                "parts": len({s.part for s in self.seen if s.class_name == name}),
                "found_before": int(before[np.array(classes) == name].sum()),
                "found": int(found[role][np.array(classes) == name].sum()),
            }
            for name in sorted(set(classes))
        }
        whole = np.ones(len(self.seen), bool)
        pictures = tuple(s.digest for s in self.seen)
        return RoleChoice(role, self._calibrate(self._of_normals(whole), role), stated, pictures)

    def _judge(self, groups: Sequence[str], role: str) -> Mask:
        """Whether each exemplar is found by the directions of other groups alone, (E,)."""
        names, found = np.array(groups), np.zeros(len(groups), bool)
        for name in sorted(set(groups)):
            others = names != name
            if not others.any():
                found[~others] = self._found_before()[~others]
                continue
            known = Reference.of(np.sort(strongest(self._normals[:, others])))
            threshold = self._calibrate(self._of_normals(others), role).threshold
            for i in np.flatnonzero(~others):
                own = known.surprise(strongest(self._exemplars[int(i)][:, others]))
                found[i] = self._fused(self.seen[int(i)].surprises, own, role).max() > threshold
        return found

    def _found_before(self) -> Mask:
        threshold = self._calibrate(None, "full").threshold
        fused = [fuse_surprises(s.surprises, self.model.roles).max() for s in self.seen]
        return np.array(fused) > threshold

    def _of_normals(self, directions: Mask) -> Scores:
        values = strongest(self._normals[:, directions])
        return Reference.of(np.sort(values)).surprise(values)

    def _calibrate(self, taught: Scores | None, role: str) -> Calibration:
        fused = self._fused(self.training.held_out, taught, role)
        tiles = self.training.tiles
        scores = self.model.preprocessing.per_image(fused)
        rate = self.model.calibration.asked_rate
        return calibrate(scores, self.training.parts[::tiles], rate)

    def _fused(self, known: Mapping[str, Scores], taught: Scores | None, role: str) -> Scores:
        if taught is None:
            return fuse_surprises(known, self.model.roles)
        return fuse_surprises({**known, TAUGHT: taught}, {**self.model.roles, TAUGHT: role})
