"""A camera without optics: deterministic textures, some with a defect."""

import asyncio
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from connectors.cameras.adjustable import Feature
from connectors.errors import CameraSpecError, CaptureError
from streams.ports import Picture, Trigger


class SyntheticCamera:
    """Woven texture with noise; a share of the parts has a scratch or a spot.

    The same seed and trigger number always give the same bytes, on every machine with the same
    encoder. Whether a part is defective stands in ``Picture.metadata["defect"]``.

    Args:
        seed: chooses the series.
        size: side of the square picture, pixels.
        defects: share of defective parts, 0 to 1.

    Raises:
        CameraSpecError: the size is not 16 to 4096 pixels, or the share not 0 to 1.
    """

    def __init__(self, seed: int = 0, size: int = 256, defects: float = 0.2) -> None:
        self._base = self._options = {"seed": float(seed), "size": float(size), "defects": defects}
        fault = _fault_of(self._base)
        if fault:
            raise CameraSpecError(f"camera synthetic: {fault}")

    async def open(self) -> None:
        """Load the encoder, so that the first part does not wait for it."""
        await asyncio.to_thread(_encode_png, np.zeros((16, 16), np.uint8))

    async def capture(self, trigger: Trigger) -> Picture:
        options, number = self._options, trigger.trigger_seq
        seed = int(options["seed"])
        pixels, defect = render(seed, number, int(options["size"]), options["defects"])
        data = await asyncio.to_thread(_encode_png, pixels)
        name = f"synthetic-{seed}-{number:06d}.png"
        return Picture(data, "image/png", name, {"defect": defect})

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """Its options by their names, on top of those that it was made with."""
        wanted = dict(self._base)
        for name, value in features.items():
            if name not in wanted or isinstance(value, str):
                raise CaptureError(f"camera synthetic: {name} = {value!r} cannot be set")
            wanted[name] = float(value)
        if fault := _fault_of(wanted):
            raise CaptureError(f"camera synthetic: {fault}")
        self._options = wanted

    async def close(self) -> None:
        """Nothing to close."""


def _fault_of(options: Mapping[str, float]) -> str:
    if not 16 <= options["size"] <= 4096 or not 0 <= options["defects"] <= 1:
        return "size is 16 to 4096 pixels, defects 0 to 1"
    return ""


def render(
    seed: int, trigger_seq: int, size: int, defects: float
) -> tuple[npt.NDArray[np.uint8], str]:
    """Pixels of shape (size, size), uint8, and the defect: ``""``, ``scratch`` or ``spot``."""
    rng = np.random.default_rng([seed, trigger_seq])
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    weave = 12 * np.sin(rows * 0.7) + 12 * np.sin(columns * 0.7)
    pixels = 128 + weave + rng.normal(0, 4, (size, size)).astype(np.float32)
    defect = ""
    if rng.random() < defects:
        defect = str(rng.choice(["scratch", "spot"]))
        x, y = rng.uniform(0.2, 0.8, 2) * size
        if defect == "spot":
            distance = np.hypot(rows - y, columns - x)
            pixels -= 70 * (distance < size * rng.uniform(0.02, 0.06))
        else:
            angle = rng.uniform(0, np.pi)
            across = np.abs((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle))
            along = np.abs((rows - y) * np.sin(angle) + (columns - x) * np.cos(angle))
            pixels += 60 * ((across < size * 0.008) & (along < size * 0.15))
    return np.clip(pixels, 0, 255).astype(np.uint8), defect


def _encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    import cv2

    done, encoded = cv2.imencode(".png", pixels)
    if not done:
        raise CaptureError("the synthetic picture could not be encoded")
    return bytes(encoded.tobytes())
