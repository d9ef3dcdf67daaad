"""The base of all events, and what a vision expert says of one picture."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=512)]
"""Text from outside (serials, names): any characters, bounded length."""
UInt32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Event(BaseModel):
    """Base of all events. ``event_type`` carries the major schema version."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    event_type: ClassVar[str] = "andon.event.v1"
    is_binary: ClassVar[bool] = False
    """Whether the Kafka value is a picture or other bytes, and every field a header."""


class Box(Event):
    """Axis-aligned box in image pixels; ``x``/``y`` is the upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Blob(Event):
    """One connected piece of the odd region, in image pixels."""

    box: Box
    area_px: float
    longest_side_px: float
    centroid_x: float
    centroid_y: float
    peak: float
    """Highest anomaly score inside the piece."""


class Region(Event):
    """The odd region. The mask may be coarser than the image; all measures are image pixels."""

    image_height: int
    image_width: int
    mask_height: int
    mask_width: int
    mask_rle: str
    """COCO compressed run-length encoding (ASCII), column-major, mask_height x mask_width."""
    blobs: tuple[Blob, ...] = ()
    area_px: float = 0.0
    longest_side_px: float = 0.0
    count: int = 0
    contrast: float = 0.0
    """Mean score inside the region over mean score outside."""


class ShadowScore(Event):
    """What a version that is not in force said of a frame, of which nobody acted on it."""

    frame_id: UUID
    expert_version: Text
    """Artifact digest."""
    score: float
    threshold: float
    anomalous: bool


class Inspection(Event):
    """The vision expert's answer for one frame."""

    event_type: ClassVar[str] = "andon.inspection.v1"
    score: float
    threshold: float
    p_value: Unit
    """Conformal: share of held-out normals at least as odd. Small is odd."""
    least_p_value: Unit = 0.0
    """The smallest p-value that the expert can give, however odd a part is; 0 when not said."""
    anomalous: bool
    region: Region | None = None
    expert_version: Text
    """Artifact digest."""
    expert_name: Text = ""
    image_height: int = 0
    image_width: int = 0
    brightness: float | None = None
    """Mean of the picture's grey values, 0 to 1."""
    contrast: float | None = None
    """Their deviation over their mean, at least 0."""
    sharpness: float | None = None
    """Mean difference of neighbouring pixels over that of pixels three apart, above 0."""
    timings_ms: dict[str, float] = {}
    shadows: tuple[ShadowScore, ...] = ()
    """What a version in the shadow said of earlier frames of the product: it is scored when the
    replica is idle, and told with a later answer."""
