"""The base of all events, and what a vision expert says of one picture."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=512)]
"""Text from outside (serials, names): any characters, bounded length."""
UInt32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
Int32 = Annotated[int, Field(ge=-(1 << 31), le=(1 << 31) - 1)]
"""What the controller's Int32 holds, and any pixel coordinate."""
Int64 = Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1)]
"""What the history's columns hold."""
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
FLOAT32_MAX = 3.4028234663852886e38
Real = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
"""What the controller's Float holds."""
Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC)),
]
"""A moment that every clock, controller and database of the line can hold."""
Timings = Annotated[dict[Text, Real], Field(max_length=256)]
"""Milliseconds by stage."""
MASK_CELLS = 1 << 25
"""Largest mask that is decoded: it takes one byte a cell then, 32 MiB."""
MASK_TEXT = 1 << 20
"""Longest run-length text of a mask, characters."""


class Event(BaseModel):
    """Base of all events. ``event_type`` carries the major schema version."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    event_type: ClassVar[str] = "andon.event.v1"
    is_binary: ClassVar[bool] = False
    """Whether the Kafka value is a picture or other bytes, and every field a header."""


class Box(Event):
    """Axis-aligned box in image pixels; ``x``/``y`` is the upper left corner."""

    x: Int32
    y: Int32
    width: Int32
    height: Int32


class Blob(Event):
    """One connected piece of the odd region, in image pixels."""

    box: Box
    area_px: Real
    longest_side_px: Real
    centroid_x: Real
    centroid_y: Real
    peak: Real
    """Highest anomaly score inside the piece."""


class Region(Event):
    """The odd region. The mask may be coarser than the image; all measures are image pixels."""

    image_height: UInt32
    image_width: UInt32
    mask_height: UInt32
    mask_width: UInt32
    mask_rle: Annotated[str, Field(max_length=MASK_TEXT)]
    """COCO compressed run-length encoding (ASCII), column-major, mask_height x mask_width."""
    blobs: Annotated[tuple[Blob, ...], Field(max_length=4096)] = ()
    area_px: Real = 0.0
    longest_side_px: Real = 0.0
    count: Int64 = 0
    contrast: Real = 0.0
    """Mean score inside the region over mean score outside."""


class ShadowScore(Event):
    """What a version that is not in force said of a frame, of which nobody acted on it."""

    frame_id: UUID
    expert_version: Text
    """Artifact digest."""
    score: Real
    threshold: Real
    anomalous: bool


class Inspection(Event):
    """The vision expert's answer for one frame."""

    event_type: ClassVar[str] = "andon.inspection.v1"
    score: Real
    threshold: Real
    p_value: Unit
    """Conformal: share of held-out normals at least as odd. Small is odd."""
    least_p_value: Unit = 0.0
    """The smallest p-value that the expert can give, however odd a part is; 0 when not said."""
    anomalous: bool
    region: Region | None = None
    expert_version: Text
    """Artifact digest."""
    expert_name: Text = ""
    image_height: UInt32 = 0
    image_width: UInt32 = 0
    brightness: Real | None = None
    """Mean of the picture's grey values, 0 to 1."""
    contrast: Real | None = None
    """Their deviation over their mean, at least 0."""
    sharpness: Real | None = None
    """Mean difference of neighbouring pixels over that of pixels three apart, above 0."""
    timings_ms: Timings = {}
    shadows: tuple[ShadowScore, ...] = ()
    """What a version in the shadow said of earlier frames of the product: it is scored when the
    replica is idle, and told with a later answer."""
