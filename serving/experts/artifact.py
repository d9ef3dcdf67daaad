"""Artifacts: a folder per product and version, safetensors and a JSON manifest, content-addressed.

``root/<product>/<digest>/{manifest.json, tensors.safetensors}``; the digest is the SHA-256 of the
manifest, which holds the SHA-256 of the tensors. Whatever does not match is refused.
"""

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from serving.experts.calibration import Calibration
from serving.experts.composed import ComposedExpert, Model
from serving.experts.errors import ArtifactError
from serving.experts.expert import Expert
from serving.experts.heads.base import Head
from serving.experts.heads.cells import CellBank
from serving.experts.heads.texture import Texture
from serving.experts.runtime import choose

SCHEMA = 1
_MANIFEST, _TENSORS = "manifest.json", "tensors.safetensors"
_PRODUCT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HEADS: dict[str, type[Head]] = {kind.kind: kind for kind in (CellBank, Texture)}


def save_artifact(expert: Expert, root: Path) -> str:
    """Write the artifact atomically and give its digest; saving the same again changes nothing.

    Raises:
        ArtifactError: the product's name is not a plain folder name.
    """
    from safetensors.numpy import save

    if not isinstance(expert, ComposedExpert):
        raise ArtifactError(f"cannot save an expert of kind {expert.name!r}")
    model = expert.model
    if not _PRODUCT.fullmatch(model.product):
        raise ArtifactError(f"product {model.product!r}: use a-z, 0-9, '_', '-', '.', 64 at most")
    body = save({k: np.ascontiguousarray(v) for k, v in _tensors(model).items()})
    text = json.dumps(_manifest(model, hashlib.sha256(body).hexdigest()), indent=1, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    target = root / model.product / digest
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as folder:
            draft = Path(folder) / digest
            draft.mkdir()
            (draft / _TENSORS).write_bytes(body)
            (draft / _MANIFEST).write_text(text, encoding="utf-8")
            os.replace(draft, target)
    expert.version = digest
    return digest


def load_expert(
    path: Path,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> Expert:
    """Verify the artifact folder at ``path`` and make it ready on this machine.

    Raises:
        ArtifactError: missing, truncated, tampered with or of another schema; says which.
        RuntimeUnavailable: the runtime asked for by name is absent.
    """
    manifest, digest = _read_manifest(path)
    model = _rebuild(manifest, _read_tensors(path, manifest))
    return ComposedExpert(model, choose(runtime, precision, device, threads), digest)


def _manifest(model: Model, tensors_sha256: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "expert": "patchcore",
        "product": model.product,
        "backbone": model.backbone,
        "size": model.size,
        "layers": list(model.layers),
        "heads": {name: {"kind": head.kind} for name, head in model.heads.items()},
        "map_scales": {k: list(v) for k, v in model.map_scales.items()},
        "calibration": {
            "asked_rate": model.calibration.asked_rate,
            "rate": model.calibration.rate,
            "threshold": model.calibration.threshold,
        },
        "tensors_sha256": tensors_sha256,
        "trained": model.manifest,
    }


def _tensors(model: Model) -> dict[str, np.ndarray]:
    found = {
        f"heads.{name}.{key}": value.numpy()
        for name, head in model.heads.items()
        for key, value in head.named_buffers()
    }
    found |= {f"references.{k}": v for k, v in model.references.items()}
    return found | {"calibration.scores": model.calibration.scores}


def _read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    try:
        body = (path / _MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: no readable {_MANIFEST}: {error.strerror}") from None
    digest = hashlib.sha256(body).hexdigest()
    if digest != path.name:
        raise ArtifactError(f"{path}: the manifest was changed (its digest is {digest[:12]})")
    try:
        manifest = json.loads(body)
    except ValueError:
        raise ArtifactError(f"{path}: the manifest is not JSON") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ArtifactError(f"{path}: schema is not {SCHEMA}; train again with this version")
    return manifest, digest


def _read_tensors(path: Path, manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    try:
        body = (path / _TENSORS).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: no readable {_TENSORS}: {error.strerror}") from None
    if hashlib.sha256(body).hexdigest() != manifest["tensors_sha256"]:
        raise ArtifactError(f"{path}: {_TENSORS} is truncated or was changed; copy it again")
    return dict(load(body))


def _rebuild(manifest: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    import torch

    heads = {}
    for name, entry in manifest["heads"].items():
        prefix = f"heads.{name}."
        own = {
            key.removeprefix(prefix): torch.from_numpy(value.copy())
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        heads[name] = _HEADS[entry["kind"]].blank(own)
    stated = manifest["calibration"]
    return Model(
        manifest["product"],
        manifest["backbone"],
        manifest["size"],
        tuple(manifest["layers"]),
        heads,
        {k: tensors[f"references.{k}"] for k in heads},
        {k: (v[0], v[1]) for k, v in manifest["map_scales"].items()},
        Calibration(
            tensors["calibration.scores"],
            stated["asked_rate"],
            stated["rate"],
            stated["threshold"],
        ),
        manifest["trained"],
    )
