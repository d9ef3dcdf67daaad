"""A version of a product's expert, as the store, the audit and the replicas know it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class VersionNote(BaseModel):
    """What learning notes of a candidate beside its artifact."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    base: str
    """Digest of the expert that it was made from."""
    exemplars: str | None = None
    """Digest of the exemplar bundle that belongs to it."""
    learned: list[str] = []
    """Frames whose reviews it learned from."""
    without: list[str] = []
    """Frames that were taken out."""
    held_out: dict[str, float | None] = {}
    """Figures on later parts than the rehearsal had learned from."""


class Version(BaseModel):
    """One version of a product's expert."""

    model_config = ConfigDict(frozen=True)
    product: str
    digest: str
    written_at: datetime
    in_force: bool
    shadow: bool
    since: datetime | None
    """When it was last put in force; None where nobody ever did so by command."""
    by: str
    reason: str
    replicas: int
    """Replicas that answer with it now."""
    expert: str
    images: int | None
    parts: int | None
    """Photographs and parts that it was trained on."""
    asked_rate: float | None
    taught: dict[str, object] | None
    """What it was taught and what that gained on held-out parts; None for an untaught one."""
    sensitivity: float | None
    """Share of synthetic local anomalies that its threshold finds on held-out normals."""
    note: VersionNote | None
