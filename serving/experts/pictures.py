"""Pictures for people: the heat map over the photograph and the odd region outlined in red."""

import cv2
import numpy as np
from PIL import Image as pillow

from serving.experts.types import Image, Scored

RED = (228, 26, 28)
_SHORTEST_SIDE = 320
"""Small photographs are enlarged to this many pixels, so that a contour is legible."""


def outlined(image: Image, scored: Scored) -> Image:
    """The photograph with the region's contours in red, uint8 RGB, small ones enlarged."""
    factor = max(1, -(-_SHORTEST_SIDE // min(image.shape[:2])))
    height, width = image.shape[0] * factor, image.shape[1] * factor
    canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    if scored.region is not None:
        lines = [np.round(c * factor).astype(np.int32) for c in scored.region.contours()]
        thickness = max(2, min(height, width) // 200)
        cv2.polylines(canvas, lines, True, RED, thickness, cv2.LINE_AA)
    return np.asarray(canvas, dtype=np.uint8)


def heat(image: Image, scored: Scored) -> Image:
    """The anomaly map over the photograph: clear below .5, full colour at 2; 1 is the outline."""
    base = outlined(image, scored)
    height, width = base.shape[:2]
    assert scored.anomaly_map is not None, "scored without a map"
    smooth = cv2.resize(scored.anomaly_map, (width, height), interpolation=cv2.INTER_CUBIC)
    strength = np.clip(smooth / 2, 0, 1)
    coloured = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    alpha = (np.clip((strength - 0.25) / 0.5, 0, 1) * 0.6)[:, :, None]
    return np.asarray(base * (1 - alpha) + coloured * alpha, dtype=np.uint8)


def side_by_side(image: Image, scored: Scored) -> Image:
    """Contours on the left, heat on the right."""
    gap = 8
    left, right = outlined(image, scored), heat(image, scored)
    return np.concatenate([left, np.full((left.shape[0], gap, 3), 255, np.uint8), right], axis=1)


def save_picture(picture: Image, path: str) -> None:
    """Write uint8 RGB as PNG; the folder must exist.

    Raises:
        OSError: it could not be written.
    """
    pillow.fromarray(picture).save(path, format="PNG")
