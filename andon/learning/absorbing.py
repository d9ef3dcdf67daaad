"""Absorbing, as a command does it: what is in force from the store, the candidate back into it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.learning.candidate import labelled_picture
from andon.learning.errors import LearningError
from andon.learning.in_force import Stores, hold_in_force
from andon.learning.versions import VersionNote
from serving.bundles import product_path
from serving.experts.absorbing.absorb import GoodPicture, absorb
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture
from serving.naming.exemplars import load_bundle


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
        exemplars = [labelled_picture(exemplar) for exemplar in known.exemplars]
    found = absorb(expert, goods, exemplars, progress)
    if not found.how:
        return AbsorbedVersion(product, base, base, (), found.said)
    hold_in_force(stores, product)
    with tempfile.TemporaryDirectory(prefix="andon-absorb-") as folder:
        digest = save_artifact(found.expert, Path(folder))
        stores.experts.add(product, product_path(Path(folder), product) / digest)
    note = VersionNote(base=base, exemplars=bundle, learned=[good.name for good in goods])
    stores.experts.put_note(product, digest, note.model_dump_json().encode())
    return AbsorbedVersion(product, base, digest, found.how, found.said)
