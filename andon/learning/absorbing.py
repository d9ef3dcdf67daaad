"""Absorbing, as a command does it: what is in force from the store, the candidate back into it."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from andon.learning.candidate import labelled_picture
from andon.learning.errors import LearningError
from andon.learning.in_force import Stores, hold_in_force
from serving.bundles import product_path
from serving.expert_versions import VersionNote
from serving.experts.absorbing.absorb import GoodPicture, absorb
from serving.experts.absorbing.new_kind import NewKind
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.images import decode_image
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture
from serving.naming.exemplars import Exemplar, ExemplarBundle, load_bundle
from serving.naming.hard_normals import pair, training_rows
from serving.naming.teaching import JPEG_QUALITY
from streams.regions import Mask

Goods = Callable[[int | None], Sequence[GoodPicture]]
"""Reads good parts by an expert's ``bit_depth``: they are as bright as on the line."""


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


def absorb_goods(stores: Stores, product: str, read: Goods, progress: Progress) -> AbsorbedVersion:
    """Let the expert in force absorb the good parts; the exemplars in force are the evidence.

    Args:
        stores: where versions are kept.
        product: whose expert in force.
        read: gives the good parts.
        progress: told how far it is.

    Raises:
        LearningError: the product has no expert, or one that keeps no training set.
        AbsorbRefused: the new kind cannot be told from defects.
    """
    base = stores.experts.in_force(product)
    if base is None:
        raise LearningError(f"{product}: no expert in the store; `andon train` makes one")
    expert = load_expert(stores.experts.fetch(product, base))
    if not isinstance(expert, ComposedExpert):
        raise LearningError(f"{product}: an expert of kind {expert.name!r} cannot absorb anything")
    bundle = stores.exemplars.in_force(product)
    known: ExemplarBundle | None = None
    exemplars: list[LabelledPicture] = []
    if bundle is not None:
        known = load_bundle(stores.exemplars.fetch(product, bundle))
        exemplars = [labelled_picture(e, expert.bit_depth) for e in known.exemplars]
    goods = read(expert.bit_depth)
    found = absorb(expert, goods, exemplars, progress)
    if not found.how:
        return AbsorbedVersion(product, base, base, (), found.said)
    hold_in_force(stores, product)
    with tempfile.TemporaryDirectory(prefix="andon-absorb-") as folder:
        digest = save_artifact(found.expert, Path(folder))
        stores.experts.add(product, product_path(Path(folder), product) / digest)
        if known is not None and known.gate is not None and found.kind is not None:
            shown = show_bundle(known, expert, found.expert, found.kind)
            saved = shown.save(Path(folder) / "exemplars")
            stores.exemplars.add(product, saved)
            bundle = saved.name
    note = VersionNote(base=base, exemplars=bundle, learned=[good.name for good in goods])
    stores.experts.put_note(product, digest, note.model_dump_json().encode())
    return AbsorbedVersion(product, base, digest, found.how, found.said)


def show_bundle(
    bundle: ExemplarBundle, old: ComposedExpert, new: ComposedExpert, kind: NewKind
) -> ExemplarBundle:
    """The bundle as parts of the new kind would look, calibrated with the expert that absorbed it.

    Args:
        bundle: calibrated with ``old``.
        old: the expert before, whose training set says which photograph became which row.
        new: its training set holds the same rows, as the new kind shows them.
        kind: what changed.
    """
    pictures = [*(n.image for n in bundle.normals), *(h.image for h in bundle.hard)]
    rows = training_rows(old, pictures)
    shown = [
        _shown(kind, p, row or 0, old.bit_depth) for p, row in zip(pictures, rows, strict=True)
    ]
    count = len(bundle.normals)
    return pair(
        replace(
            bundle,
            exemplars=tuple(
                _shown_exemplar(kind, e, number, old.bit_depth)
                for number, e in enumerate(bundle.exemplars)
            ),
            normals=tuple(
                replace(normal, image=image)
                for normal, image in zip(bundle.normals, shown[:count], strict=True)
            ),
            hard=tuple(
                replace(hard, image=image)
                for hard, image in zip(bundle.hard, shown[count:], strict=True)
            ),
        ),
        new,
        shown,
        rows=rows,
        parts=[*(n.part for n in bundle.normals), *(h.part for h in bundle.hard)],
    )


def _shown_exemplar(kind: NewKind, exemplar: Exemplar, number: int, bits: int | None) -> Exemplar:
    """The labelled defect under the new light; it stands for the photograph it was made from."""
    image = _shown(kind, exemplar.image, number, bits, exemplar.mask)
    return replace(exemplar, image=image, origin=exemplar.origin or exemplar.sha256)


def _shown(
    kind: NewKind, picture: bytes, number: int, bits: int | None, defect: Mask | None = None
) -> bytes:
    """An encoded photograph as the new kind would show it, JPEG."""
    image = kind.show(decode_image(picture, bits), number, defect)
    _, body = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return body.tobytes()
