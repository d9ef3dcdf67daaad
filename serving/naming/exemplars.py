"""Exemplar bundles: the few labelled pictures from which the local classifier names anomalies.

A bundle is a folder ``<root>/<product>/<digest>/`` of ``manifest.json`` and pictures under
``images/<sha256>``. Its digest is the SHA-256 of the manifest, which names every picture by its
own: what loads is what was taught. Pictures are the truth and features are computed when a bundle
is loaded, so that no bundle outlives the backbone that described it (docs/adr/0080).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from prompts.names import fold
from serving.bundles import MANIFEST, BundleError, digest_of, product_path, write_bundle
from serving.naming.base import RESERVED
from serving.naming.exemplar_manifest import (
    FORMAT,
    ExemplarEntry,
    ExemplarManifest,
    GateEntry,
    HardNormalEntry,
    MarkedPicture,
    NormalEntry,
    read_verified,
)
from serving.naming.exemplar_manifest import ExemplarError as ExemplarError
from serving.naming.false_alarms import FEWEST_PARTS, Gate
from streams.names import fault_of
from streams.regions import Mask, decode_mask, encode_mask

POINTER: Final = "latest.json"
"""Beside a product's bundles: which of them is in force (``serving.bundle_store``)."""
IMAGES: Final = "images"
MAX_PER_CLASS: Final = 64
"""Most examples kept of one class; beyond the first few dozen they cost time and add nothing."""


@dataclass(frozen=True)
class Exemplar:
    """One labelled anomaly: the picture as captured and where on it the anomaly is."""

    class_name: str
    image: bytes
    mask: Mask
    """Bool, at any resolution; the whole picture when nothing is marked."""
    part: str = ""
    """The part photographed, so that shots of one part never confirm each other."""
    drawn: bool = True
    """A person drew the mask: it is used as it is. Otherwise an expert outlined it."""
    origin: str = ""
    """Digest of the photograph that the picture was made from, where it shows an old part under a
    new light; empty for a photograph."""

    @cached_property
    def sha256(self) -> str:
        """Digest of the picture."""
        return digest_of(self.image)


@dataclass(frozen=True)
class Normal:
    """A picture of a normal part: what normal looks like, and what VELM shows beside a query."""

    image: bytes
    part: str = ""
    """Its part; a picture without one is a part of its own."""

    @cached_property
    def sha256(self) -> str:
        """Digest of the picture."""
        return digest_of(self.image)


@dataclass(frozen=True)
class HardNormal:
    """A normal picture that an expert finds odd: what a false alarm looks like."""

    image: bytes
    mask: Mask
    """Where it looks odd, as the expert outlined it."""
    part: str
    score: float
    """The expert's, before it had seen the part."""
    weight: float
    """How many parts it stands for: its share of its part's photographs, more where not all of
    the hard normals are kept; 0 where a person reviewed it as a false alarm, since it was picked
    for being odd."""

    @property
    def reviewed(self) -> bool:
        """Whether a person called it a false alarm; the expert was not trained on it."""
        return self.weight == 0

    @cached_property
    def sha256(self) -> str:
        """Digest of the picture."""
        return digest_of(self.image)


@dataclass(frozen=True)
class ExemplarBundle:
    """All that the prototype classifier knows of one product. Frozen: teaching returns another."""

    product_id: str
    backbone: str
    exemplars: tuple[Exemplar, ...] = ()
    normals: tuple[Normal, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    """Where the examples come from: expert digest, source of masks."""
    hard: tuple[HardNormal, ...] = ()
    """Normal pictures that the expert of ``gate`` sends on."""
    gate: Gate | None = None
    """That expert's held-out scores; None where no expert was asked."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names with at least one example, in the order they were taught."""
        return tuple(dict.fromkeys(e.class_name for e in self.exemplars))

    @property
    def odd_parts(self) -> int:
        """Parts whose hard normals calibrate; see ``false_alarms.FEWEST_PARTS``."""
        return len({h.part for h in self.hard if not h.reviewed})

    def of_class(self, class_name: str) -> tuple[Exemplar, ...]:
        """The examples of one class."""
        return tuple(e for e in self.exemplars if e.class_name == class_name)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest, and through it of everything in the bundle."""
        return digest_of(_files(self)[MANIFEST])

    def save(self, root: Path) -> Path:
        """Write to ``root/<product>/<digest>/`` in one rename; an equal bundle is only touched."""
        try:
            return write_bundle(root, self.product_id, _files(self))
        except BundleError as error:
            raise ExemplarError(str(error)) from None


def teach(bundle: ExemplarBundle, examples: Iterable[Exemplar]) -> ExemplarBundle:
    """Add labelled examples; a picture already in the bundle is moved.

    The same picture is held once: taught again under another class it changes class, so that a
    correction needs no deletion. What was made from it, to show it under a new light, goes then.

    Raises:
        ExemplarError: the class name is empty or reserved, or folds like another class.
    """
    fresh: dict[str, Exemplar] = {}
    for example in examples:
        check_class(example.class_name)
        _check_apart(bundle, example.class_name)
        fresh[example.sha256] = replace(example, mask=_checked_mask(example.mask))
    kept = tuple(
        e
        for e in bundle.exemplars
        if e.sha256 not in fresh
        and (e.origin not in fresh or fresh[e.origin].class_name == e.class_name)
    )
    taught = replace(bundle, exemplars=kept + tuple(fresh.values()))
    for class_name in taught.classes:
        held = len(taught.of_class(class_name))
        if held > MAX_PER_CLASS:
            raise ExemplarError(
                f"{bundle.product_id}: class {class_name!r} would have {held} examples; at most "
                f"{MAX_PER_CLASS} are kept: choose fewer, more different pictures"
            )
    return taught


def load_bundle(path: Path) -> ExemplarBundle:
    """Read a bundle folder and verify every file against the manifest.

    Raises:
        ExemplarError: names the file that is missing, altered or of another format.
    """
    manifest = ExemplarManifest.read(path)
    images = {sha: read_verified(path / IMAGES / sha, sha) for sha in manifest.images}
    exemplars = tuple(
        Exemplar(e.class_name, images[e.image], _decoded(path, e), e.part, e.drawn, e.origin)
        for e in manifest.exemplars
    )
    normals = tuple(Normal(images[n.image], n.part) for n in manifest.normals)
    hard = tuple(
        HardNormal(images[h.image], _decoded(path, h), h.part, h.score, h.weight)
        for h in manifest.hard
    )
    return ExemplarBundle(
        manifest.product_id,
        manifest.backbone,
        exemplars,
        normals,
        dict(manifest.notes),
        hard,
        manifest.gate.restored() if manifest.gate is not None else None,
    )


def latest(root: Path, product_id: str) -> Path | None:
    """The bundle of a product in force: what its pointer names, else what was taught last.

    Raises:
        ExemplarError: the pointer is damaged.
    """
    return latest_in(_folder(root, product_id))


def latest_in(folder: Path) -> Path | None:
    """As ``latest``, of a product's folder.

    Raises:
        ExemplarError: the pointer is damaged.
    """
    if (folder / POINTER).is_file():
        try:
            digest = json.loads(read_verified(folder / POINTER, None))["digest"]
        except (ValueError, KeyError, TypeError):
            raise ExemplarError(
                f"{folder / POINTER} is damaged: delete it, or `andon models use` a version"
            ) from None
        return folder / str(digest) if digest else None
    found = [p.parent for p in folder.glob(f"*/{MANIFEST}")] if folder.is_dir() else []
    return max(found, key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)


def _folder(root: Path, product_id: str) -> Path:
    try:
        return product_path(root, product_id)
    except BundleError as error:
        raise ExemplarError(str(error)) from None


def _files(bundle: ExemplarBundle) -> dict[str, bytes]:
    shown: tuple[Exemplar | Normal | HardNormal, ...]
    shown = (*bundle.exemplars, *bundle.normals, *bundle.hard)
    files = {f"{IMAGES}/{picture.sha256}": picture.image for picture in shown}
    manifest = ExemplarManifest(
        format=FORMAT,
        product_id=bundle.product_id,
        backbone=bundle.backbone,
        exemplars=tuple(
            ExemplarEntry(
                class_name=e.class_name,
                image=e.sha256,
                height=e.mask.shape[0],
                width=e.mask.shape[1],
                mask_rle=encode_mask(e.mask),
                part=e.part,
                drawn=e.drawn,
                origin=e.origin,
            )
            for e in bundle.exemplars
        ),
        hard=tuple(
            HardNormalEntry(
                image=h.sha256,
                height=h.mask.shape[0],
                width=h.mask.shape[1],
                mask_rle=encode_mask(h.mask),
                part=h.part,
                score=h.score,
                weight=h.weight,
            )
            for h in bundle.hard
        ),
        gate=GateEntry.model_validate(asdict(bundle.gate)) if bundle.gate else None,
        normals=tuple(NormalEntry(image=n.sha256, part=n.part) for n in bundle.normals),
        notes=dict(bundle.notes),
    )
    # a bundle without hard normals is written as it was before there were any
    stated = manifest.model_dump(exclude_defaults=True)
    body = json.dumps(stated, indent=1, sort_keys=True, ensure_ascii=False)
    return files | {MANIFEST: body.encode()}


def _decoded(path: Path, entry: MarkedPicture) -> Mask:
    try:
        mask = decode_mask(entry.mask_rle, entry.height, entry.width)
    except (ValueError, IndexError) as error:
        raise ExemplarError(f"{path / MANIFEST}: mask of {entry.image}: {error}") from error
    return _checked_mask(mask)


def check_class(class_name: str) -> None:
    """Refuse what cannot be taught as a class, before anything long begins.

    Raises:
        ExemplarError: it is no name, or an answer of every classifier.
    """
    if fault := fault_of(class_name) or ("" if fold(class_name) else "is punctuation alone"):
        raise ExemplarError(f"class name {class_name[:80]!r} {fault}")
    if fold(class_name) in {fold(name) for name in RESERVED}:
        raise ExemplarError(
            f"class {class_name!r} is reserved: the classifier answers it, nobody teaches it"
        )


def _check_apart(bundle: ExemplarBundle, class_name: str) -> None:
    for other in bundle.classes:
        if other != class_name and fold(other) == fold(class_name):
            raise ExemplarError(f"class {class_name!r} reads like {other!r}, already taught")


def _checked_mask(mask: Mask) -> Mask:
    if mask.ndim != 2 or min(mask.shape) < 1:
        raise ExemplarError(f"a mask must be (height, width), not {mask.shape}")
    return mask.astype(np.bool_) if mask.any() else np.ones(mask.shape, np.bool_)


def describe(bundle: ExemplarBundle) -> dict[str, object]:
    """For people and ``--json``: product, digest, examples and parts by class."""
    return {
        "product": bundle.product_id,
        "digest": bundle.digest,
        "backbone": bundle.backbone,
        "normals": len(bundle.normals),
        "hard_normals": len(bundle.hard),
        "calibrated_with_expert": bundle.gate is not None and bundle.odd_parts >= FEWEST_PARTS,
        "classes": {
            name: {
                "examples": len(bundle.of_class(name)),
                "parts": len({e.part or e.sha256 for e in bundle.of_class(name)}),
            }
            for name in bundle.classes
        },
    }
