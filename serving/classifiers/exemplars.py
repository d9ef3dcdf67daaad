"""Exemplar bundles: the few labelled pictures from which the local classifier names anomalies.

A bundle is a folder ``<root>/<product>/<digest>/`` of ``manifest.json``, ``normals.safetensors``
and the pictures as captured under ``images/<sha256>``. Its digest is the SHA-256 of the manifest,
which holds the SHA-256 of every other file: what loads is what was taught. No pickle.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from prompts.names import fold
from serving.classifiers.base import RESERVED
from streams.errors import AndonError
from streams.regions import Mask, decode_mask, encode_mask

FORMAT: Final = "andon.exemplars.v1"
MANIFEST: Final = "manifest.json"
NORMALS: Final = "normals.safetensors"
IMAGES: Final = "images"
MAX_PER_CLASS: Final = 64
"""Most examples kept of one class; beyond the first few dozen they cost time and add nothing."""
MAX_MANIFEST_BYTES: Final = 64 << 20

Floats = npt.NDArray[np.float32]
_PRODUCT = re.compile(r"[^\s/\\\x00-\x1f][^/\\\x00-\x1f]{0,127}")


class ExemplarError(AndonError):
    """A bundle of examples that cannot be read, verified or extended."""


@dataclass(frozen=True)
class Exemplar:
    """One labelled anomaly: the picture as captured and where on it the anomaly is."""

    class_name: str
    image: bytes
    mask: Mask
    """Bool, at any resolution; the whole picture when nothing is marked."""
    part: str = ""
    """The part photographed, so that shots of one part never confirm each other."""

    @cached_property
    def sha256(self) -> str:
        """Digest of the picture."""
        return hashlib.sha256(self.image).hexdigest()


@dataclass(frozen=True)
class NormalReference:
    """What normal looks like to the backbone.

    ``embeddings`` float32 (n, channels) of ``images``; ``mean`` and ``std`` by layer, float32
    (channels, height, width), over ``count`` normal pictures.
    """

    images: tuple[bytes, ...]
    embeddings: Floats
    mean: Mapping[str, Floats]
    std: Mapping[str, Floats]
    count: int


@dataclass(frozen=True)
class ExemplarBundle:
    """All that the prototype classifier knows of one product. Frozen: teaching returns another."""

    product_id: str
    backbone: str
    exemplars: tuple[Exemplar, ...] = ()
    normals: NormalReference | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    """Where the examples come from: expert digest, source of masks."""

    def __post_init__(self) -> None:
        if not _PRODUCT.fullmatch(self.product_id) or self.product_id in {".", ".."}:
            raise ExemplarError(
                f"product {self.product_id!r} cannot name a folder: 1 to 128 characters, "
                "no slash, backslash or control character"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names with at least one example, in the order they were taught."""
        return tuple(dict.fromkeys(e.class_name for e in self.exemplars))

    def of_class(self, class_name: str) -> tuple[Exemplar, ...]:
        """The examples of one class."""
        return tuple(e for e in self.exemplars if e.class_name == class_name)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest, and through it of everything in the bundle."""
        return hashlib.sha256(_files(self)[MANIFEST]).hexdigest()

    def save(self, root: Path) -> Path:
        """Write to ``root/<product>/<digest>/`` in one rename; an equal bundle is only touched."""
        files = _files(self)
        target = root / self.product_id / self.digest
        if (target / MANIFEST).is_file():
            os.utime(target / MANIFEST)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".saving-", dir=target.parent))
        try:
            for name, body in files.items():
                path = scratch / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(body)
            scratch.chmod(0o755)
            os.replace(scratch, target)
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            if not (target / MANIFEST).is_file():  # another process may have won the rename
                raise ExemplarError(f"{target}: cannot be written: {error}") from error
        return target


def teach(
    bundle: ExemplarBundle, class_name: str, examples: Iterable[tuple[bytes, Mask, str]]
) -> ExemplarBundle:
    """Add labelled examples ``(picture, mask, part)``; a picture already in the bundle is moved.

    The same picture is held once: taught again under another class it changes class, so that a
    correction needs no deletion.

    Raises:
        ExemplarError: the class name is empty or reserved, or folds like another class.
    """
    _check_class(bundle, class_name)
    fresh: dict[str, Exemplar] = {}
    for image, mask, part in examples:
        example = Exemplar(class_name, image, _checked_mask(mask), part)
        fresh[example.sha256] = example
    kept = tuple(e for e in bundle.exemplars if e.sha256 not in fresh)
    held = sum(e.class_name == class_name for e in kept)
    if held + len(fresh) > MAX_PER_CLASS:
        raise ExemplarError(
            f"{bundle.product_id}: class {class_name!r} would have {held + len(fresh)} examples; "
            f"at most {MAX_PER_CLASS} are kept: choose fewer, more different pictures"
        )
    return replace(bundle, exemplars=kept + tuple(fresh.values()))


def load_bundle(path: Path) -> ExemplarBundle:
    """Read a bundle folder and verify every file against the manifest.

    Raises:
        ExemplarError: names the file that is missing, altered or of another format.
    """
    manifest = _Manifest.read(path)
    images: dict[str, bytes] = {}
    for sha in {e.image for e in manifest.exemplars} | set(manifest.references):
        images[sha] = _verified(path / IMAGES / sha, sha)
    exemplars = tuple(
        Exemplar(e.class_name, images[e.image], decode_mask(e.mask_rle, e.height, e.width), e.part)
        for e in manifest.exemplars
    )
    normals = None
    if manifest.normals_sha256:
        tensors = _tensors(path / NORMALS, manifest.normals_sha256)
        normals = NormalReference(
            images=tuple(images[sha] for sha in manifest.references),
            embeddings=tensors["embeddings"],
            mean=_by_layer(tensors, "mean/"),
            std=_by_layer(tensors, "std/"),
            count=manifest.normal_count,
        )
    return ExemplarBundle(
        manifest.product_id, manifest.backbone, exemplars, normals, dict(manifest.notes)
    )


def latest(root: Path, product_id: str) -> Path | None:
    """The bundle of a product that was taught last (by modification time), or None."""
    folder = root / product_id
    found = [p.parent for p in folder.glob(f"*/{MANIFEST}")] if folder.is_dir() else []
    return max(found, key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ManifestExemplar(_Strict):
    class_name: str
    image: str
    height: int
    width: int
    mask_rle: str
    part: str


class _Manifest(_Strict):
    format: str
    product_id: str
    backbone: str
    exemplars: tuple[_ManifestExemplar, ...]
    references: tuple[str, ...]
    normals_sha256: str
    normal_count: int
    notes: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "_Manifest":
        raw = _read(path / MANIFEST)
        if len(raw) > MAX_MANIFEST_BYTES:
            raise ExemplarError(f"{path / MANIFEST}: larger than {MAX_MANIFEST_BYTES} bytes")
        if re.fullmatch(r"[0-9a-f]{64}", path.name):
            _check(path / MANIFEST, raw, path.name)
        try:
            manifest = cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ExemplarError(f"{path / MANIFEST}: {where}: {first['msg']}") from None
        if manifest.format != FORMAT:
            raise ExemplarError(
                f"{path / MANIFEST}: format {manifest.format!r}; this build reads {FORMAT!r}"
            )
        for name in {e.image for e in manifest.exemplars} | set(manifest.references):
            if not re.fullmatch(r"[0-9a-f]{64}", name):
                raise ExemplarError(f"{path / MANIFEST}: {name!r} is not a SHA-256")
        return manifest


def _files(bundle: ExemplarBundle) -> dict[str, bytes]:
    normals = bundle.normals
    references = normals.images if normals else ()
    files = {f"{IMAGES}/{e.sha256}": e.image for e in bundle.exemplars}
    reference_names = [hashlib.sha256(image).hexdigest() for image in references]
    files |= {f"{IMAGES}/{sha}": b for sha, b in zip(reference_names, references, strict=True)}
    normals_sha = ""
    if normals:
        body = save_tensors(_flat(normals))
        files[NORMALS] = body
        normals_sha = hashlib.sha256(body).hexdigest()
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "product_id": bundle.product_id,
        "backbone": bundle.backbone,
        "exemplars": [
            {
                "class_name": e.class_name,
                "image": e.sha256,
                "height": e.mask.shape[0],
                "width": e.mask.shape[1],
                "mask_rle": encode_mask(e.mask),
                "part": e.part,
            }
            for e in bundle.exemplars
        ],
        "references": reference_names,
        "normals_sha256": normals_sha,
        "normal_count": normals.count if normals else 0,
        "notes": dict(bundle.notes),
    }
    files[MANIFEST] = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()
    return files


def _flat(normals: NormalReference) -> dict[str, Floats]:
    tensors = {"embeddings": normals.embeddings}
    tensors |= {f"mean/{layer}": values for layer, values in normals.mean.items()}
    tensors |= {f"std/{layer}": values for layer, values in normals.std.items()}
    return {k: np.ascontiguousarray(tensors[k], np.float32) for k in sorted(tensors)}


def _tensors(path: Path, sha256: str) -> dict[str, Floats]:
    try:
        tensors: dict[str, Floats] = load_tensors(_verified(path, sha256))
    except SafetensorError as error:
        raise ExemplarError(f"{path}: not a safetensors file: {error}") from error
    if "embeddings" not in tensors:
        raise ExemplarError(f"{path}: tensor 'embeddings' is missing")
    return tensors


def _by_layer(tensors: Mapping[str, Floats], prefix: str) -> dict[str, Floats]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _verified(path: Path, sha256: str) -> bytes:
    return _check(path, _read(path), sha256)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExemplarError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check(path: Path, body: bytes, sha256: str) -> bytes:
    actual = hashlib.sha256(body).hexdigest()
    if actual != sha256:
        raise ExemplarError(
            f"{path}: altered since it was written (SHA-256 {actual[:12]}..., "
            f"expected {sha256[:12]}...); teach again or restore the folder"
        )
    return body


def _check_class(bundle: ExemplarBundle, class_name: str) -> None:
    if not class_name.strip() or len(class_name) > 512:
        raise ExemplarError(f"class name {class_name[:40]!r}: 1 to 512 characters are needed")
    if fold(class_name) in {fold(name) for name in RESERVED}:
        raise ExemplarError(
            f"class {class_name!r} is reserved: the classifier answers it, nobody teaches it"
        )
    for other in bundle.classes:
        if other != class_name and fold(other) == fold(class_name):
            raise ExemplarError(f"class {class_name!r} reads like {other!r}, already taught")


def _checked_mask(mask: Mask) -> Mask:
    if mask.ndim != 2 or min(mask.shape) < 1:
        raise ExemplarError(f"a mask must be (height, width), not {mask.shape}")
    return mask.astype(np.bool_) if mask.any() else np.ones(mask.shape, np.bool_)


def describe(bundle: ExemplarBundle) -> dict[str, object]:
    """For people and ``--json``: product, digest, examples and parts by class."""
    rows: Sequence[tuple[str, tuple[Exemplar, ...]]] = [
        (name, bundle.of_class(name)) for name in bundle.classes
    ]
    return {
        "product": bundle.product_id,
        "digest": bundle.digest,
        "backbone": bundle.backbone,
        "normals": bundle.normals.count if bundle.normals else 0,
        "classes": {
            name: {"examples": len(found), "parts": len({e.part or e.sha256 for e in found})}
            for name, found in rows
        },
    }
