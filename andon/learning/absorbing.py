"""Absorbing, as a command does it: what is in force from the store, the candidate back into it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from andon.learning.errors import LearningError
from andon.learning.in_force import Stores
from andon.learning.versions import VersionNote
from serving.experts.absorbing.absorb import GoodPicture, absorb
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.images import decode_image
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture
from serving.naming.exemplars import Exemplar, load_bundle


@dataclass(frozen=True, eq=False)
class AbsorbedVersion:
    """A candidate that accepts the new kind; in the store, not in force."""

    product: str
    base: str
    """Digest of the expert in force."""
    digest: str
    """Digest of the candidate; that of the expert in force where there was nothing to absorb."""
    how: tuple[str, ...]
    said: dict[str, object]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "product": self.product,
            "base": self.base,
            "candidate": self.digest,
            "how": list(self.how),
            **self.said,
        }


def absorb_goods(
    stores: Stores, product: str, goods: Sequence[GoodPicture], progress: Progress
) -> AbsorbedVersion:
    """Let the expert in force absorb the good parts; the exemplars in force are the evidence.

    Raises:
        LearningError: the product has no expert, or one that keeps no training set.
        AbsorbRefused: the new kind cannot be told from defects.
    """
    base = stores.experts.products().get(product)
    if base is None:
        raise LearningError(f"{product}: no expert in the store; `andon train` makes one")
    expert = load_expert(stores.experts.fetch(product, base))
    if not isinstance(expert, ComposedExpert):
        raise LearningError(f"{product}: an expert of kind {expert.name!r} cannot absorb anything")
    bundle = stores.exemplars.products().get(product)
    exemplars: list[LabelledPicture] = []
    if bundle is not None:
        known = load_bundle(stores.exemplars.fetch(product, bundle))
        exemplars = [_labelled(exemplar) for exemplar in known.exemplars]
    found = absorb(expert, goods, exemplars, progress)
    if not found.how:
        return AbsorbedVersion(product, base, base, (), found.said)
    if stores.experts.pointed(product) is None:  # or the newest version would be in force
        stores.experts.point(product, base)
    with tempfile.TemporaryDirectory(prefix="andon-absorb-") as folder:
        digest = save_artifact(found.expert, Path(folder))
        stores.experts.add(product, Path(folder) / product / digest)
    note = VersionNote(base=base, exemplars=bundle, learned=[good.name for good in goods])
    stores.experts.put_note(product, digest, note.model_dump_json().encode())
    return AbsorbedVersion(product, base, digest, found.how, found.said)


def _labelled(exemplar: Exemplar) -> LabelledPicture:
    image = decode_image(exemplar.image)
    if exemplar.mask.all():
        return LabelledPicture(image, exemplar.class_name, None, exemplar.part)
    height, width = image.shape[:2]
    mask = cv2.resize(exemplar.mask.astype(np.uint8), (width, height)) > 0
    return LabelledPicture(image, exemplar.class_name, np.asarray(mask, bool), exemplar.part)
