"""Where the picture of a normal part comes from."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from serving.experts.images import decode_image

_SIDE = 32


@runtime_checkable
class ReferenceProvider(Protocol):
    """Gives a normal photograph to compare the query with. Called off the event loop."""

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """An encoded photograph of a normal part like ``image``; None when there is none."""
        ...


@runtime_checkable
class Preparable(Protocol):
    """A provider with something to load before the first part comes."""

    def prepare(self) -> None:
        """Load models and pictures; seconds, off the event loop."""
        ...


class NoReferences:
    """For products without normal photographs at hand: the prompt goes without the part RI."""

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """Always None."""
        return None


class RandomReferences:
    """A random training photograph, as in the paper (section 4.2).

    The draw depends on the seed and the query's bytes only, so that a run can be resumed.
    """

    def __init__(self, normals: Mapping[str, Sequence[bytes]], seed: int = 0) -> None:
        self._normals = normals
        self._seed = seed

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """One of the product's normal photographs."""
        normals = self._normals.get(product_id)
        if not normals:
            return None
        digest = hashlib.sha256(image).hexdigest()
        return random.Random(f"{self._seed}/{digest}").choice(list(normals))


class NearestReferences:
    """The most similar normal photograph by correlation of 32x32 grey thumbnails.

    For where no exemplar bundle with embeddings exists; photographs are compared as taken, so it
    finds the same pose and lighting, not the same texture.
    """

    def __init__(self, normals: Mapping[str, Sequence[bytes]]) -> None:
        self._normals = {product: tuple(images) for product, images in normals.items()}
        self._thumbnails = {
            product: np.stack([_thumbnail(image) for image in images])
            for product, images in self._normals.items()
            if images
        }

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """The nearest of the product's normal photographs."""
        thumbnails = self._thumbnails.get(product_id)
        if thumbnails is None:
            return None
        return self._normals[product_id][int(np.argmax(thumbnails @ _thumbnail(image)))]


def _thumbnail(image: bytes) -> npt.NDArray[np.float32]:
    """Zero mean, unit length, float32 (1024,)."""
    import cv2

    grey = decode_image(image).mean(axis=2, dtype=np.float32)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel()
    centred = small - small.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), dtype=np.float32)
