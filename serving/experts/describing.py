"""What an artifact says of its training: data, libraries, near duplicates."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from serving.experts.types import Floats, Image

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "pillow", "openvino", "timm")
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
