"""Small drawn parts: a grey plate with a light edge, and anomalies of three kinds."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

KINDS = ("hole", "line", "stain")


def plate(seed: int) -> npt.NDArray[np.uint8]:
    """A normal part, uint8 (96, 128, 3); ``seed`` varies grain and exposure."""
    rng = np.random.default_rng(seed)
    grey = rng.normal(110 + 15 * (seed % 3), 5, (96, 128))
    grey[:, :10] += 45
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def spoiled(kind: str, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A part with one anomaly, and its mask (96, 128)."""
    image, rng = plate(seed + 1000), np.random.default_rng(seed)
    x, y = int(rng.integers(40, 90)), int(rng.integers(30, 66))
    rows, columns = np.mgrid[:96, :128]
    if kind == "hole":
        mask = (rows - y) ** 2 + (columns - x) ** 2 < 64
        image[mask] = 15
    elif kind == "line":
        mask = (np.abs(rows - y - (columns - x) // 3) < 2) & (np.abs(columns - x) < 32)
        image[mask] = 235
    else:
        mask = (np.abs(rows - y) < 20) & (np.abs(columns - x) < 26)
        image[mask] = np.clip(
            image[mask].astype(int) + rng.integers(-60, 60, (mask.sum(), 1)), 0, 255
        )
    return image, mask


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encoded without loss."""
    stream = io.BytesIO()
    pillow.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
