"""Synthetic anomalies on normal photographs: what heads are chosen by, instead of test labels.

In the spirit of CutPaste (Li et al. 2021) and DRAEM (Zavrtanik et al. 2021). Each kind is faint
enough that a weak head fails; none imitates a particular defect of a particular product.
"""

from collections.abc import Callable

import cv2
import numpy as np

from serving.experts.types import Floats, Image, Mask

Random = np.random.Generator
Made = tuple[Floats, Mask]
"""Changed pixels, and which were changed."""
Maker = Callable[[Image, Image, Random], Made]


def corrupt(image: Image, donor: Image, kind: str, seed: int) -> tuple[Image, Mask]:
    """One anomaly of ``kind`` on a copy of ``image``.

    Args:
        image: uint8 (height, width, 3), normal.
        donor: another normal image of the same size; patches are taken from it.
        kind: one of ``KINDS``.
        seed: decides place, size and strength.

    Returns:
        The corrupted image and the bool mask (height, width) of what was changed.
    """
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    values, mask = KINDS[kind](image, donor, rng)
    return np.clip(np.round(values), 0, 255).astype(np.uint8), mask


def _ellipse(shape: tuple[int, ...], rng: Random, low: float, high: float) -> Mask:
    """A rotated ellipse whose half axes are shares ``low`` to ``high`` of the shorter side."""
    height, width = shape[:2]
    side = min(height, width)
    axes = [max(1, round(side * a)) for a in rng.uniform(low, high, 2)]
    centre = (int(rng.uniform(0.08, 0.92) * width), int(rng.uniform(0.08, 0.92) * height))
    canvas = np.zeros((height, width), np.uint8)
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(bool)


def _soft(mask: Mask, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    return np.asarray(blurred, np.float32)[:, :, None]


def _sign(rng: Random) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _cut_paste(image: Image, donor: Image, rng: Random) -> Made:
    height, width = image.shape[:2]
    h = int(height * rng.uniform(0.05, 0.22))
    w = int(width * rng.uniform(0.05, 0.22))
    y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    v, u = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    patch = donor[v : v + h, u : u + w].astype(np.float32)
    if rng.random() < 0.5:
        patch = patch[::-1, ::-1]
    result = image.astype(np.float32)
    result[y : y + h, x : x + w] = patch
    mask = np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = True
    return result, mask


def _scratch(image: Image, donor: Image, rng: Random) -> Made:
    height, width = image.shape[:2]
    point = rng.uniform(0.1, 0.9, 2) * (width, height)
    angle = rng.uniform(0, 2 * np.pi)
    points = [point]
    for _ in range(int(rng.integers(3, 8))):
        angle += rng.normal(0, 0.5)
        step = rng.uniform(0.02, 0.06) * min(height, width)
        point = point + step * np.array([np.cos(angle), np.sin(angle)])
        points.append(point)
    canvas = np.zeros((height, width), np.uint8)
    line = np.round(points).astype(np.int32)
    cv2.polylines(canvas, [line], False, 1, int(rng.integers(1, 4)))
    mask = canvas.astype(bool)
    change = _sign(rng) * rng.uniform(20, 60)
    return image + np.float32(change) * _soft(mask, 0.7), mask


def _spot(image: Image, donor: Image, rng: Random) -> Made:
    mask = _ellipse(image.shape, rng, 0.008, 0.03)
    return image + _sign(rng) * rng.uniform(25, 70) * _soft(mask, 1.0), mask


def _shade(image: Image, donor: Image, rng: Random) -> Made:
    mask = _ellipse(image.shape, rng, 0.06, 0.2)
    sigma = min(image.shape[:2]) * rng.uniform(0.01, 0.04)
    return image + _sign(rng) * rng.uniform(12, 35) * _soft(mask, sigma), mask


def _blend(image: Image, donor: Image, rng: Random) -> Made:
    """Another normal's texture, turned, through a soft window."""
    mask = _ellipse(image.shape, rng, 0.05, 0.18)
    height, width = image.shape[:2]
    shift = (int(rng.integers(0, height)), int(rng.integers(0, width)))
    other = np.roll(donor[::-1, ::-1], shift, axis=(0, 1)).astype(np.float32)
    weight = _soft(mask, 2.0) * rng.uniform(0.4, 0.9)
    return image * (1 - weight) + other * weight, mask


def _local_noise(image: Image, donor: Image, rng: Random) -> Made:
    mask = _ellipse(image.shape, rng, 0.04, 0.15)
    return image + _noise_like(image, rng, 0.5, 1.5) * _soft(mask, 1.0), mask


def _local_blur(image: Image, donor: Image, rng: Random) -> Made:
    mask = _ellipse(image.shape, rng, 0.05, 0.18)
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(rng.uniform(1, 2.5)))
    weight = _soft(mask, 1.5)
    return image * (1 - weight) + blurred * weight, mask


def _noise_like(image: Image, rng: Random, low: float, high: float) -> Floats:
    """Grey noise (height, width, 1), ``low`` to ``high`` times as strong as the image's grain."""
    values = image.astype(np.float32)
    grain = max(1.0, float((values - cv2.GaussianBlur(values, (0, 0), 1.0)).std()))
    noise = rng.normal(0, grain * rng.uniform(low, high), image.shape[:2])
    return noise[:, :, None].astype(np.float32)


def _whole(shape: tuple[int, ...]) -> Mask:
    return np.ones(shape[:2], bool)


def _noise(image: Image, donor: Image, rng: Random) -> Made:
    return image.astype(np.float32) + _noise_like(image, rng, 0.3, 0.9), _whole(image.shape)


def _blur(image: Image, donor: Image, rng: Random) -> Made:
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(rng.uniform(0.8, 2)))
    return np.asarray(blurred, np.float32), _whole(image.shape)


def _warp(image: Image, donor: Image, rng: Random) -> Made:
    """A smooth distortion of the whole image: structure that no single patch shows."""
    height, width = image.shape[:2]
    coarse = rng.normal(0, 1, (2, 5, 5)).astype(np.float32)
    reach = min(height, width) * rng.uniform(0.015, 0.04)
    flow = [cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) * reach for c in coarse]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    warped = cv2.remap(
        image, x + flow[0], y + flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return warped.astype(np.float32), _whole(image.shape)


LOCAL_KINDS: dict[str, Maker] = {
    "cut-paste": _cut_paste,
    "scratch": _scratch,
    "spot": _spot,
    "shade": _shade,
    "blend": _blend,
    "local noise": _local_noise,
    "local blur": _local_blur,
}
GLOBAL_KINDS: dict[str, Maker] = {"noise": _noise, "blur": _blur, "warp": _warp}
KINDS: dict[str, Maker] = {**LOCAL_KINDS, **GLOBAL_KINDS}
