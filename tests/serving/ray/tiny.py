"""A vision expert and a classifier small enough to reason about; both are real behind the ports."""

import asyncio
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as pillow

from serving.bundles import write_bundle
from serving.experts.errors import ArtifactError
from serving.experts.types import Blob, Image, Region, Scored
from streams.codes import ReasonCode
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure

LOADER = "tests.serving.ray.tiny:load_tiny"
CLASSIFIER = "tests.serving.ray.tiny:build_tiny"


def save_tiny(
    root: Path, product: str = "tile", threshold: float = 0.5, delay_s: float = 0.0, note: str = ""
) -> str:
    """Write an artifact folder; its digest."""
    body = json.dumps(
        {"product": product, "threshold": threshold, "delay_s": delay_s, "note": note}
    ).encode()
    return write_bundle(root, product, {"manifest.json": body}).name


def load_tiny(path: Path, **options: object) -> "TinyExpert":
    """The loader behind ``vision.loader``."""
    try:
        return TinyExpert(json.loads((path / "manifest.json").read_text()), path.name)
    except ValueError as error:
        raise ArtifactError(f"{path}: not a tiny artifact: {error}") from None


class TinyExpert:
    """The share of bright pixels is the score; those pixels are the region."""

    name = "tiny"
    memory_bytes = 1 << 20

    def __init__(self, manifest: dict[str, object], version: str) -> None:
        self.version = version
        self.product = str(manifest["product"])
        self._threshold = float(str(manifest["threshold"]))
        self._delay_s = float(str(manifest["delay_s"]))
        self._bit_depth = 12 if manifest["note"] == "12 bits" else None

    @property
    def bit_depth(self) -> int | None:
        """Bits of the camera's pixels in 16-bit files, as in training."""
        return self._bit_depth

    def score(self, images: Sequence[Image], maps: bool = True) -> list[Scored]:
        if self._delay_s:
            time.sleep(self._delay_s)
        return [self._score(image) for image in images]

    def _score(self, image: Image) -> Scored:
        if image.shape[:2] == (13, 13):
            raise RuntimeError("a picture that this expert cannot bear")
        if image.shape[:2] == (66, 66):
            os._exit(3)
        mask = image.mean(axis=2) > 200
        score = float(mask.mean())
        odd = score > self._threshold
        height, width = mask.shape
        blob = Blob((0, 0, width, height), float(mask.sum()), float(width), (1.0, 2.0), score)
        region = Region(mask, height, width, (blob,), 2.0) if odd else None
        return Scored(score, self._threshold, 0.5, odd, None, region, height, width)


def build_tiny(options: Mapping[str, object], bundles: Mapping[str, Path]) -> "TinyClassifier":
    """The builder behind ``classifier.kind``."""
    return TinyClassifier(float(str(options.get("delay_s", 0.0))), bundles)


class TinyClassifier:
    """Names everything ``bright``; remembers with which bundle."""

    name = "tiny"

    def __init__(self, delay_s: float, bundles: Mapping[str, Path]) -> None:
        self._delay_s, self._bundles = delay_s, bundles
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        if not self._open:
            raise RuntimeError("asked after it was closed")
        if request.image == b"refuse":
            return Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "Refused", "as asked")
        if request.image == b"break":
            raise ValueError("a request that this classifier cannot bear")
        await asyncio.sleep(self._delay_s)
        bundle = self._bundles.get(request.texts.product_id)
        return Classification(
            class_name="bright",
            confidence=0.9,
            classifier=self.name,
            exemplars_version="" if bundle is None else bundle.name,
        )


def picture(level: int, side: int = 32, kind: str = "PNG") -> bytes:
    """An encoded grey square."""
    body = io.BytesIO()
    pillow.fromarray(np.full((side, side, 3), level, np.uint8)).save(body, kind)
    return body.getvalue()
