"""What a policy lets out of the plant, towards an endpoint outside it."""

from typing import Final, Literal

Egress = Literal["none", "crop", "full"]
EGRESS: Final[tuple[Egress, ...]] = ("none", "crop", "full")
"""The widest last."""
