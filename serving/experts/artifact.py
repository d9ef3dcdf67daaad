"""Artifacts: a folder per product and version, safetensors and a JSON manifest, content-addressed.

``root/<product>/<digest>/{manifest.json, tensors.safetensors}``; the digest is the SHA-256 of the
manifest, which holds the SHA-256 of the tensors. Whatever does not match is refused.
"""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from serving.experts.calibration import Calibration
from serving.experts.composed import ComposedExpert, Model, Standardised
from serving.experts.ddad.expert import DdadExpert, DdadModel, choose_running
from serving.experts.ddad.packing import KIND as DDAD
from serving.experts.ddad.packing import pack_manifest, pack_tensors, unpack
from serving.experts.errors import ArtifactError
from serving.experts.expert import Expert
from serving.experts.heads import HEADS
from serving.experts.precision import agrees
from serving.experts.preprocessing import Preprocessing
from serving.experts.runtime import choose

SCHEMA = 6
_MANIFEST, _TENSORS = "manifest.json", "tensors.safetensors"
_PRODUCT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def save_artifact(expert: Expert, root: Path) -> str:
    """Write the artifact atomically and give its digest; saving the same again changes nothing.

    Raises:
        ArtifactError: the product's name is not a plain folder name.
    """
    from safetensors.numpy import save

    if not isinstance(expert, ComposedExpert | DdadExpert):
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
    if manifest["expert"] == DDAD:
        ddad = unpack(manifest, _read_tensors(path, manifest))
        running = choose_running(ddad, runtime, precision, device, threads)
        return DdadExpert(ddad, running, digest)
    model = _rebuild(manifest, _read_tensors(path, manifest))
    if precision == "auto" and not agrees(manifest["trained"].get("precision", {})):
        precision = "f32"
    return ComposedExpert(model, choose(runtime, precision, device, threads), digest).ready()


def _manifest(model: Model | DdadModel, tensors_sha256: str) -> dict[str, Any]:
    if isinstance(model, DdadModel):
        return {"schema": SCHEMA, "tensors_sha256": tensors_sha256, **pack_manifest(model)}
    return {
        "schema": SCHEMA,
        "expert": "patchcore",
        "product": model.product,
        "backbone": model.backbone,
        "preprocessing": asdict(model.preprocessing),
        "layers": list(model.layers),
        "heads": {
            name: {"kind": part.head.kind, "config": part.head.config}
            for name, part in model.heads.items()
        },
        "roles": model.roles,
        "map": {
            "heads": list(model.map_heads),
            "cut": model.map_cut,
            "alone": model.map_alone,
        },
        "calibration": {
            "asked_rate": model.calibration.asked_rate,
            "rate": model.calibration.rate,
            "groups": model.calibration.groups,
            "threshold": model.calibration.threshold,
        },
        "tensors_sha256": tensors_sha256,
        "trained": model.trained,
    }


def _tensors(model: Model | DdadModel) -> dict[str, np.ndarray]:
    if isinstance(model, DdadModel):
        return pack_tensors(model)
    found = {
        f"heads.{name}.{key}": value.numpy()
        for name, part in model.heads.items()
        for key, value in part.named_buffers()
    }
    found |= {f"references.{k}": v for k, v in model.references.items()}
    calibration = model.calibration
    return found | {
        "calibration.scores": calibration.scores,
        "calibration.weights": calibration.weights,
    }


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
    heads = {name: _rebuild_head(entry, name, tensors) for name, entry in manifest["heads"].items()}
    stated = manifest["calibration"]
    calibration = Calibration(
        tensors["calibration.scores"],
        tensors["calibration.weights"],
        stated["asked_rate"],
        stated["rate"],
        stated["threshold"],
    )
    return Model(
        manifest["product"],
        manifest["backbone"],
        Preprocessing(**manifest["preprocessing"]),
        tuple(manifest["layers"]),
        heads,
        {k: tensors[f"references.{k}"] for k in manifest["roles"]},
        manifest["roles"],
        tuple(manifest["map"]["heads"]),
        manifest["map"]["cut"],
        manifest["map"]["alone"],
        calibration,
        manifest["trained"],
    )


def _rebuild_head(entry: dict[str, Any], name: str, tensors: dict[str, np.ndarray]) -> Standardised:
    import torch

    prefix = f"heads.{name}."
    own = {
        key.removeprefix(prefix): torch.from_numpy(value.copy())
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    inner = {k.removeprefix("head."): v for k, v in own.items() if k.startswith("head.")}
    head = HEADS[entry["kind"]](inner, **entry["config"])
    return Standardised(head, own["cell_mean"], own["cell_inverse"])
