"""What an artifact keeps of its training, so that it can be taught and changed without the files.

The prepared normals without loss, the part that each shows, and what the heads thought of each
before they had seen it. Serving never reads this file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from safetensors.numpy import load, save

from serving.experts.calibration import Scores
from serving.experts.types import Image

TRAINING = "training.safetensors"
"""Its file in an artifact's folder."""
_PNG_LEVEL = 3
"""Compression, 0 to 9: higher levels save a twentieth of the bytes and take three times as long."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The normals that an expert was fitted on, and their held-out judgement."""

    pixels: Image
    """uint8 (N, H, W, 3), prepared as the network takes them; a photograph's tiles in a row."""
    parts: tuple[str, ...]
    """The part that each row shows; rows of one part are held out together."""
    files: tuple[str, ...]
    """Names of the photographs, one for each ``tiles`` rows."""
    held_out: Mapping[str, Scores]
    """Surprise (N,) by scoring head, from heads that had not seen the row's part."""

    @property
    def tiles(self) -> int:
        """Rows that one photograph makes."""
        return len(self.pixels) // len(self.files)

    def packed(self) -> bytes:
        """The bytes of ``training.safetensors``."""
        rows = [_encode(image) for image in self.pixels]
        about = {"parts": self.parts, "files": self.files}
        tensors = {f"held_out.{name}": values for name, values in self.held_out.items()}
        body: bytes = save(
            {
                **tensors,
                "pixels": np.frombuffer(b"".join(rows), np.uint8),
                "sizes": np.array([len(row) for row in rows], np.int64),
                "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            }
        )
        return body

    @classmethod
    def unpacked(cls, body: bytes) -> "TrainingSet":
        """The training set that ``packed`` wrote."""
        tensors = load(body)
        about = json.loads(tensors["about"].tobytes())
        ends = np.cumsum(tensors["sizes"])
        rows = np.split(tensors["pixels"], ends[:-1])
        prefix = "held_out."
        return cls(
            np.stack([_decode(row) for row in rows]),
            tuple(about["parts"]),
            tuple(about["files"]),
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
        )


def _encode(image: Image) -> bytes:
    """PNG, of one channel where all three are equal."""
    grey = bool((image == image[:, :, :1]).all())
    _, body = cv2.imencode(
        ".png",
        image[:, :, 0] if grey else image[:, :, ::-1],
        [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL],
    )
    return body.tobytes()


def _decode(row: Image) -> Image:
    decoded = np.asarray(cv2.imdecode(row, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[:, :, ::-1])
