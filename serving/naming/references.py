"""Where the picture of a normal part comes from."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable


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
        """Give no reference, which is None."""
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
