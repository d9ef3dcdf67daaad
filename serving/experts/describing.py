"""What an artifact says of its training: data, libraries, near duplicates, bf16 against f32."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from serving.experts.calibration import Scores
from serving.experts.composed import ComposedExpert, Model
from serving.experts.errors import RuntimeUnavailable
from serving.experts.runtime import choose
from serving.experts.selection import auroc
from serving.experts.types import Floats, Image

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "pillow", "openvino", "timm")
_BOOTSTRAPS = 300
_THUMB = 24
_CLOSE = 0.35
"""A pair is a near duplicate when its distance is below this share of the median nearest one."""
_WARN_SHARE = 0.05


def describe_data(pixels: Image, names: list[str], grouped: bool) -> dict[str, Any]:
    """Counts and a hash of the prepared pixels, in order."""
    digest = hashlib.sha256()
    for image in pixels:
        digest.update(hashlib.sha256(image.tobytes()).digest())
    return {
        "images": len(pixels),
        "groups": len(set(names)),
        "grouped": grouped,
        "sha256": digest.hexdigest(),
    }


def describe_libraries() -> dict[str, str]:
    """Versions of the libraries that take part."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def near_duplicates(pixels: Image) -> float:
    """Share of images with a near duplicate: far closer to another than images usually are.

    Thumbnails, each standardised, so that another exposure of the same scene stays close.
    """
    import cv2

    thumbs = np.stack(
        [cv2.resize(i, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).mean(axis=2) for i in pixels]
    ).reshape(len(pixels), -1)
    thumbs = thumbs - thumbs.mean(axis=0)
    thumbs = thumbs - thumbs.mean(axis=1, keepdims=True)
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True) + 1e-6
    nearest: Floats = np.empty(len(thumbs), np.float32)
    for start in range(0, len(thumbs), 512):
        alike = thumbs[start : start + 512] @ thumbs.T
        alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
        nearest[start : start + 512] = np.sqrt(np.clip(2 - 2 * alike.max(axis=1), 0, None))
    usual = float(np.quantile(nearest, 0.9))
    return float(np.mean(nearest < _CLOSE * usual))


def near_duplicate_warning(pixels: Image, grouped: bool) -> list[str]:
    """A warning where photographs seem to share parts and nobody said which."""
    share = near_duplicates(pixels)
    if grouped or share < _WARN_SHARE:
        return []
    return [
        f"{share:.0%} of the images have a near duplicate: photographs of one part, if they are, "
        "must be held out together or the threshold is too low; say which with --groups CSV"
    ]


def precision_report(
    model: Model, normal: Image, odd: Image, threads: int | None
) -> dict[str, Any]:
    """bf16 against f32 on synthetic data: score differences, and the change of AUROC.

    The interval of the change is a paired bootstrap's over images, 95 %.
    """
    try:
        experts = {
            p: ComposedExpert(model, choose("openvino", p, "cpu", threads)) for p in ("f32", "bf16")
        }
    except RuntimeUnavailable as error:
        return {"measured": False, "why": str(error)}
    scores = {
        p: [np.array([s.score for s in e.score(list(part), maps=False)]) for part in (normal, odd)]
        for p, e in experts.items()
    }
    gap = np.concatenate(scores["f32"]) - np.concatenate(scores["bf16"])
    relative = np.abs(gap) / np.maximum(np.abs(np.concatenate(scores["f32"])), 1.0)
    return {
        "measured": True,
        "images": len(normal) + len(odd),
        "score_deviation_median": float(np.median(relative)),
        "score_deviation_max": float(relative.max()),
        "auroc_change": auroc(*scores["bf16"]) - auroc(*scores["f32"]),
        "auroc_change_interval": _change_interval(scores["f32"], scores["bf16"]),
    }


def _change_interval(exact: list[Scores], other: list[Scores]) -> list[float]:
    rng = np.random.default_rng(0)
    changes = []
    for _ in range(_BOOTSTRAPS):
        low, high = (rng.integers(len(part), size=len(part)) for part in exact)
        changes.append(auroc(other[0][low], other[1][high]) - auroc(exact[0][low], exact[1][high]))
    return [float(v) for v in np.quantile(changes, [0.025, 0.975])]
