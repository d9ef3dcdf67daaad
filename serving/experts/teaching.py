"""Teaching: a few labelled photographs give a trained expert one more head.

Each photograph gives a direction in the space of patch features: the normals' pooled covariance,
shrunk and inverted, times the mean of the defect's cells (Fisher's linear discriminant, one for
each photograph), and each class of several the mean of theirs. A new picture's cells are projected
on all directions. Nothing that was trained is fitted again: normals are described once more and
projected, held out by part, which calibrates the head and the threshold. Exemplars judge themselves
by the directions of other parts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serving.experts.backbone import load_backbone
from serving.experts.composed import ComposedExpert
from serving.experts.fusion import fuse_maps
from serving.experts.head_state import TAUGHT_LAYERS
from serving.experts.holdout import make_folds
from serving.experts.judgement import Judgement, Seen
from serving.experts.mixtures import Mixtures
from serving.experts.normal_cells import ExemplarCells, NormalCells, mark_cells
from serving.experts.options import Progress
from serving.experts.selection import normal_cut
from serving.experts.taught import Taught
from serving.experts.types import Floats, Image, Mask

_FOLDS = 8
"""Folds of the normals' hold-out, fewer where there are fewer parts."""
_WHOLE = 0.9
"""A mask that covers more of its picture than this marks nothing."""
_COVERED = 0.5
"""A pixel of a resized mask belongs to the defect where it reaches this."""
_ODDEST_SHARE = 1 / 64
"""Share of the map that counts as the defect where nobody marked it."""


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A photograph that a person named."""

    image: Image
    class_name: str
    mask: Mask | None
    """Where the defect is, bool of the image's shape; None where nobody marked it."""
    part: str
    """The part it shows; photographs of one part never confirm each other. May be empty."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the pixels and the mask."""
        found = hashlib.sha256(str(self.image.shape).encode() + self.image.tobytes())
        if self.mask is not None:
            found.update(self.mask.tobytes())
        return found.hexdigest()


def teach(
    expert: ComposedExpert,
    exemplars: Sequence[LabelledPicture],
    progress: Progress | None = None,
    hard_normals: Sequence[LabelledPicture] = (),
) -> ComposedExpert:
    """A new expert that knows these exemplars and no others; without any, the untaught one.

    Args:
        expert: an expert with its training set, taught before or not.
        exemplars: labelled defects; those without a mask are marked where the expert sees them.
        progress: told of every step.
        hard_normals: reviewed false alarms: no direction may point at what they show.

    Raises:
        TrainingError: the expert was saved without its training set.
    """
    return Teacher(expert, progress).teach(exemplars, hard_normals)


class Teacher:
    """An expert whose normals are described once, to be taught again and again.

    Args:
        expert: an expert with its training set, taught before or not.
        progress: told of every step.

    Raises:
        TrainingError: the expert was saved without its training set.
    """

    def __init__(self, expert: ComposedExpert, progress: Progress | None = None) -> None:
        self.training = expert.training_set()
        self.untaught = expert.untaught()
        self._report = progress or (lambda stage, done, total: None)
        model, parts = self.untaught.model, self.training.parts
        seed = int(model.trained["options"]["seed"])
        folds = make_folds(parts, min(_FOLDS, len(set(parts))), seed)
        choice = replace(expert.wanted, precision="f32")
        backbone = load_backbone(model.backbone, choice, TAUGHT_LAYERS, model.preprocessing.shape)
        fixtured = model.preprocessing.tiles == 1
        self._normals = NormalCells(backbone, self.training.pixels, folds, fixtured, self._report)
        self._seen: dict[str, Seen] = {}

    def teach(
        self, exemplars: Sequence[LabelledPicture], hard_normals: Sequence[LabelledPicture] = ()
    ) -> ComposedExpert:
        """See ``teach``."""
        if not exemplars:
            return self.untaught
        pictures = [*exemplars, *hard_normals]
        seen = []
        for i, picture in enumerate(pictures):
            seen.append(self.see(picture))
            self._report("exemplars", i + 1, len(pictures))
        shown, hard = seen[: len(exemplars)], seen[len(exemplars) :]
        mixtures = Mixtures.of([s.class_name for s in shown], [s.part for s in shown])
        cells = [s.cells for s in shown]
        held = self._normals.hold_out(cells, mixtures, [s.cells for s in hard])
        model, kept = self.untaught.model, mixtures.kept
        judged = Judgement(model, self.training, shown, held, mixtures)
        choice = judged.choose()
        cut = normal_cut(held.strongest_map)
        taught = Taught(
            head=held.directions.first(kept).state(),
            sizes=held.sizes[:kept],
            references=np.sort(held.highest[:, :kept], axis=0).T,
            strongest=judged.strongest(),
            role=choice.role,
            map_cut=cut,
            region_share=judged.choose_share(cut),
            others=judged.others,
        )
        said = model.trained | {
            "taught": choice.described() | {"hard_normals": [p.digest for p in hard_normals]},
            "precision": {"measured": False, "why": "it was measured before teaching"},
        }
        new = replace(model, taught=taught, calibration=choice.calibration, trained=said)
        made = ComposedExpert(new, self.untaught.wanted, keep=self.untaught.keep)
        made.held_out_maps = self.untaught.held_out_maps
        return made

    def see(self, picture: LabelledPicture) -> Seen:
        """The picture as the untaught heads and the directions see it, kept for another time."""
        digest = picture.digest
        if digest not in self._seen:
            self._seen[digest] = self._look(picture, digest)
        known = self._seen[digest]
        return replace(known, class_name=picture.class_name, part=picture.part or digest)

    def _look(self, picture: LabelledPicture, digest: str) -> Seen:
        tiles = self.untaught.model.preprocessing.cut(picture.image)
        maps, surprises = self.untaught.look(tiles)
        layers = self._normals.describe(tiles)
        fused = fuse_maps(maps, *self.untaught.model.map_parts)
        drawn = self._drawn(picture)
        marked = drawn
        if marked is None:
            marked = (fused >= np.quantile(fused, 1 - _ODDEST_SHARE)).astype(np.float32)
        most = int(np.argmax(marked.sum(axis=(1, 2))))
        weights = mark_cells(marked[most], *layers[0].shape[-2:])
        return Seen(
            digest=digest,
            class_name=picture.class_name,
            part=picture.part,
            cells=ExemplarCells([layer[most : most + 1] for layer in layers], weights),
            tile=most,
            layers=[layer.half() for layer in layers],
            surprises=surprises,
            fused=fused[most],
            mask=None if drawn is None else drawn[most] >= _COVERED,
        )

    def _drawn(self, picture: LabelledPicture) -> Floats | None:
        """The mask on each tile, 0 to 1, (tiles, h, w); None where it says nothing."""
        mask = picture.mask
        if mask is None or mask.mean() > _WHOLE:
            return None
        grey = np.repeat(mask.astype(np.uint8)[:, :, None] * 255, 3, axis=2)
        cut = self.untaught.model.preprocessing.cut(grey)[..., 0].astype(np.float32)
        return cut * np.float32(1 / 255) if cut.any() else None
