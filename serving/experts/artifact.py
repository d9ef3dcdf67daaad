"""Artifacts: a folder per product and version, safetensors and a JSON manifest, content-addressed.

``root/<product>/<digest>/{manifest.json, tensors.safetensors, training.safetensors}``; the digest
is the SHA-256 of the manifest, which holds the SHA-256 of the other two. Whatever does not match is
refused. ``training.safetensors`` is for teaching and absorbing: scoring never reads it.
"""

import json
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load, save

from serving.bundles import MANIFEST, BundleError, digest_of, read_file, write_bundle
from serving.experts.calibration import Calibration
from serving.experts.composed import ComposedExpert, Model
from serving.experts.ddad.options import KIND as DDAD
from serving.experts.errors import ArtifactError
from serving.experts.expert import Expert
from serving.experts.head_state import TAUGHT, HeadState
from serving.experts.mapped import map_tensors
from serving.experts.model import Arrays, part_arrays
from serving.experts.precision import agrees
from serving.experts.preprocessing import Preprocessing
from serving.experts.runtime import choose
from serving.experts.taught import Taught
from serving.experts.training_set import TRAINING, TrainingSet

if TYPE_CHECKING:
    from serving.experts.ddad.expert import DdadExpert

SCHEMA = 6
SCHEMA_GATED = 7
"""Of an artifact that an earlier build taught."""
SCHEMA_TAUGHT = 8
"""Of an artifact with a taught head, which earlier builds would score otherwise."""
_TENSORS = "tensors.safetensors"


def save_artifact(expert: Expert, root: Path) -> str:
    """Write the artifact atomically and give its digest; an equal one is only touched.

    Raises:
        ArtifactError: the product is no name, or nothing can be written.
    """
    known = _known(expert)
    tensors, own = _packed(known)
    body = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
    stated = {"schema": SCHEMA, "tensors_sha256": digest_of(body), **own}
    files = {_TENSORS: body}
    if isinstance(expert, ComposedExpert):
        if (taught := expert.model.taught) is not None:
            stated["schema"] = SCHEMA_GATED if taught.others is None else SCHEMA_TAUGHT
        if expert.keep is not None:
            files[TRAINING] = expert.training_set().packed()
            stated["training_sha256"] = digest_of(files[TRAINING])
    files[MANIFEST] = json.dumps(stated, indent=1, sort_keys=True).encode()
    try:
        target = write_bundle(root, known.product, files)
    except BundleError as error:
        raise ArtifactError(str(error)) from None
    known.version = target.name
    return known.version


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
    manifest, tensors = _read(path)
    shared = {
        "product": manifest["product"],
        "backbone": manifest["backbone"],
        "preprocessing": Preprocessing(**manifest["preprocessing"]),
        "calibration": Calibration.restored(manifest["calibration"], tensors),
        "trained": manifest["trained"],
    }
    if manifest["expert"] == DDAD:
        from serving.experts.ddad.expert import DdadExpert, choose_running
        from serving.experts.ddad.packing import unpack

        ddad = unpack(manifest, tensors, shared)
        running = choose_running(ddad, runtime, precision, device, threads)
        return DdadExpert(ddad, running, path.name)
    model = _rebuild(manifest, tensors, shared)
    if precision == "auto" and not agrees(model.trained.get("precision")):
        precision = "f32"
    keep = cache(partial(load_training_set, path)) if "training_sha256" in manifest else None
    choice = choose(runtime, precision, device, threads)
    return ComposedExpert(model, choice, path.name, keep).ready()


def load_training_set(path: Path) -> TrainingSet:
    """The normals that the artifact at ``path`` was fitted on, with their held-out judgement.

    Raises:
        ArtifactError: missing, truncated, tampered with, or saved without its training set.
    """
    manifest = _read_manifest(path)
    if "training_sha256" not in manifest:
        raise ArtifactError(f"{path}: saved without its training set; train it again")
    try:
        return TrainingSet.unpacked(read_file(path / TRAINING, manifest["training_sha256"]))
    except BundleError as error:
        raise ArtifactError(str(error)) from None


def _known(expert: Expert) -> "ComposedExpert | DdadExpert":
    if isinstance(expert, ComposedExpert):
        return expert
    from serving.experts.ddad.expert import DdadExpert

    if isinstance(expert, DdadExpert):
        return expert
    raise ArtifactError(f"cannot save an expert of kind {expert.name!r}")


def _packed(expert: "ComposedExpert | DdadExpert") -> tuple[Arrays, dict[str, object]]:
    """Tensors, and what the manifest says beside their digest."""
    model = expert.model
    if isinstance(model, Model):
        tensors, own = _tensors(model), _composed_manifest(model)
    else:
        from serving.experts.ddad.packing import pack_manifest, pack_tensors

        tensors, own = pack_tensors(model), pack_manifest(model)
    return tensors | model.calibration.tensors(), own | {
        "product": model.product,
        "backbone": model.backbone,
        "preprocessing": {k: v for k, v in asdict(model.preprocessing).items() if v is not None},
        "calibration": {
            **model.calibration.described(),
            "histogram": model.calibration.histogram(),
        },
        "trained": model.trained,
    }


def _composed_manifest(model: Model) -> dict[str, object]:
    heads = {k: {"kind": h.kind, "config": dict(h.config)} for k, h in model.heads.items()}
    region = {"heads": list(model.map_heads), "cut": model.map_cut, "alone": model.map_alone}
    return {
        "expert": "patchcore",
        "layers": list(model.layers),
        "heads": heads,
        "roles": model.roles,
        "map": region,
        **({} if model.taught is None else {TAUGHT: model.taught.stated()}),
    }


def _tensors(model: Model) -> Arrays:
    heads = {
        f"heads.{name}.{buffer}": values
        for name, head in model.heads.items()
        for buffer, values in head.arrays.items()
    }
    references = {f"references.{k}": v for k, v in model.references.items()}
    if model.taught is not None:
        heads |= model.taught.tensors()
    return heads | references


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Manifest and tensors of an artifact folder, verified."""
    manifest = _read_manifest(path)
    file, digest = path / _TENSORS, manifest["tensors_sha256"]
    try:
        if manifest["expert"] == DDAD:  # copied into its networks
            return manifest, dict(load(read_file(file, digest)))
        return manifest, map_tensors(file, digest)
    except BundleError as error:
        raise ArtifactError(str(error)) from None


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(read_file(path / MANIFEST, path.name))
    except BundleError as error:
        raise ArtifactError(str(error)) from None
    except ValueError:
        raise ArtifactError(f"{path}: the manifest is not JSON") from None
    known = (SCHEMA, SCHEMA_GATED, SCHEMA_TAUGHT)
    if not isinstance(manifest, dict) or manifest.get("schema") not in known:
        raise ArtifactError(
            f"{path}: schema is not {' or '.join(map(str, known))}; train again with this version"
        )
    return manifest


def _rebuild(manifest: dict[str, Any], tensors: Arrays, shared: dict[str, Any]) -> Model:
    region = manifest["map"]
    return Model(
        **shared,
        layers=tuple(manifest["layers"]),
        heads={
            k: HeadState(h["kind"], h["config"], part_arrays(tensors, f"heads.{k}"))
            for k, h in manifest["heads"].items()
        },
        references={
            k: np.asarray(tensors[f"references.{k}"], np.float64) for k in manifest["roles"]
        },
        roles=manifest["roles"],
        map_heads=tuple(region["heads"]),
        map_cut=region["cut"],
        map_alone=region["alone"],
        taught=Taught.restored(tensors, **manifest[TAUGHT]) if TAUGHT in manifest else None,
    )
