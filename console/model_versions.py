"""Versions of the experts as pages show and change them: a port to store, audit and replicas."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from console.model_requests import ModelRequest, VersionPair
from history.model_log import DayOfUse, ModelChange, ShadowCount
from serving.expert_versions import Version
from streams.errors import AndonError


class ModelError(AndonError):
    """A version that is not there, or that cannot be put in force now."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class ScoreHistogram(_Record):
    """How odd held-out normals are, each part weighing one."""

    first: float
    """Score at which the first bin begins."""
    width: float
    parts: tuple[float, ...]
    """Parts in each bin."""


class RateShown(_Record):
    """What a rate of false alarms costs and finds."""

    asked_rate: float
    threshold: float
    false_alarms: float
    low: float
    high: float
    found: float
    """Share of faint synthetic anomalies that is found."""
    classes: dict[str, float] = {}
    """Share of held-out parts that is found, by class that was taught."""
    untaught: dict[str, float] = {}
    """The same before it was taught."""


class OddestShown(_Record):
    """One of the oddest normals."""

    row: int
    part: str
    file: str
    score: float


class VersionDetail(_Record):
    """Everything that is recorded of one version."""

    version: Version
    threshold: float | None
    rate: float | None
    """The rate that the threshold stands for."""
    histogram: ScoreHistogram | None = None
    """None of a version that an earlier release trained."""
    at_rates: tuple[RateShown, ...] = ()
    by_kind: dict[str, float] = {}
    """Share of synthetic anomalies that is found, by their kind."""
    heads: dict[str, str] = {}
    """Why each head scores."""
    oddest: tuple[OddestShown, ...] = ()
    has_pictures: bool = False
    """Whether the artifact keeps its normals, so that the oddest can be shown."""
    warnings: tuple[str, ...] = ()
    options: dict[str, str] = {}
    libraries: dict[str, str] = {}
    changes: tuple[ModelChange, ...] = ()
    """When it was put in force, and what was put in its place; the latest first."""
    shadows: tuple[ShadowCount, ...] = ()
    days: tuple[DayOfUse, ...] = ()
    """What it decided, day by day."""
    unknown: tuple[str, ...] = ()
    """What could not be found out, and why."""


class ExemplarsKept(_Record):
    """A bundle of exemplars of a product in the store."""

    digest: str
    written_at: datetime
    in_force: bool


class VersionChange(_Record):
    """A change of what is in force, under way or over."""

    product: str
    to: str
    """Digest of the expert."""
    exemplars: str | None = None
    """Digest of the exemplars; null: those in force stay; empty: none shall be."""
    by: str
    began_at: datetime
    said: str = ""
    running: bool = True
    error: str = ""
    request: ModelRequest | None = None
    """What was asked for, or answered, where a second person must approve it; nothing changed as
    long as nobody did."""


class ModelVersions(Protocol):
    """Where versions are kept and put in force. Every method may raise ``AndonError``."""

    async def products(self) -> Mapping[str, str]:
        """Every product with a version in the store, by the key that addresses take."""
        ...

    async def versions(self, product: str | None) -> tuple[Sequence[Version], Sequence[str]]:
        """Every version, newest first by product, and what could not be found out."""
        ...

    async def detail(self, product: str, digest: str) -> VersionDetail:
        """All that is recorded of one version."""
        ...

    async def odd_picture(self, product: str, digest: str, row: int) -> bytes:
        """A normal as the artifact keeps it, as PNG."""
        ...

    async def exemplars(self, product: str) -> Sequence[ExemplarsKept]:
        """Every bundle of exemplars of a product, newest first."""
        ...

    async def in_force(self, product: str) -> VersionPair:
        """What the store has in force; what a damaged pointer does not say is empty."""
        ...

    async def meant(self, product: str, digest: str, exemplars: str | None) -> VersionPair:
        """What a wish would put in force as things stand now.

        Args:
            digest: of the expert; empty for what was in force before the last change.
            exemplars: other ones than those that belong to the expert.

        Raises:
            ModelError: one of them is not in the store, or there was nothing before.
        """
        ...

    def use(self, product: str, wanted: VersionPair, by: str, reason: str) -> VersionChange:
        """Begin to put an expert with its exemplars in force on every replica."""
        ...

    def change(self, product: str) -> VersionChange | None:
        """The change that is under way, or was the last."""
        ...

    async def shadow(self, product: str, digest: str | None) -> None:
        """Let a version be scored beside the one in force, or none."""
        ...

    async def close(self) -> None:
        """End what is under way; what was in force before is so again."""
        ...
