"""Heads as an artifact holds them: arrays and what to do with them, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serving.experts.model import Arrays

TAUGHT: Final = "taught"
"""The kind of the taught head, and its name among the maps and the surprises."""
TAUGHT_LAYERS: Final = ("stage1", "stage2", "stage3", "stage4")
"""What the taught head looks at, fine to coarse. The first one is halved to the second one's grid:
its mean and its maximum."""


@dataclass(frozen=True, eq=False)
class HeadState:
    """All that is fitted of a head; ``serving.experts.graph`` makes it a module again."""

    kind: str
    """One of ``serving.experts.heads.HEADS``, with the standardisation around it, or ``TAUGHT``."""
    config: Mapping[str, float]
    arrays: Arrays
    """Buffers by the names that they have in the module."""

    @property
    def nbytes(self) -> int:
        """What its arrays take, bytes."""
        return sum(values.nbytes for values in self.arrays.values())
