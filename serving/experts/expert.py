"""The port that every vision expert implements."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from serving.experts.types import Image, Scored


@runtime_checkable
class Expert(Protocol):
    """Scores images against what normal looks like.

    The f32 score of an image is the same to 1e-6 relative whatever the batch or order.
    """

    @property
    def name(self) -> str:
        """The kind of expert: ``patchcore`` or ``ddad``."""
        ...

    @property
    def version(self) -> str:
        """The artifact's digest; empty before it is saved."""
        ...

    @property
    def product(self) -> str:
        """The product it was trained for."""
        ...

    def score(self, images: Sequence[Image], maps: bool = True) -> list[Scored]:
        """One answer per image, in order.

        Args:
            images: uint8 RGB arrays of shape (height, width, 3), any sizes, any number.
            maps: also give each image's anomaly map and, when anomalous, its region.
        """
        ...
