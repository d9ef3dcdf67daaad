"""The versions of a product's expert: what the store and the audit know of each. Pure."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from andon.learning.errors import LearningError
from history.model_log import ModelChange
from serving.ray.replicas import ReplicaStatus


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


def describe_version(
    product: str,
    digest: str,
    written_s: float,
    manifest: Mapping[str, object],
    note: VersionNote | None,
    pointed: tuple[str | None, str | None],
    changes: Sequence[ModelChange],
    replicas: Sequence[ReplicaStatus],
) -> Version:
    """What is known of a version.

    Args:
        written_s: when its bundle was written, Unix seconds.
        pointed: the versions in force and in the shadow, as the store says.
        changes: the product's audit, latest first.
        replicas: those of the vision expert that answered.
    """
    trained = _section(manifest, "trained")
    data, sensitivity = _section(trained, "data"), _section(trained, "sensitivity")
    put = next((c for c in changes if c.to_expert == digest), None)
    return Version(
        product=product,
        digest=digest,
        written_at=datetime.fromtimestamp(written_s, UTC),
        in_force=digest == pointed[0],
        shadow=digest == pointed[1],
        since=put.applied_at if put else None,
        by=put.applied_by if put else "",
        reason=put.reason if put else "",
        replicas=sum(r.versions.get(product) == digest for r in replicas),
        expert=str(manifest.get("expert", "")),
        images=_whole(data.get("images")),
        parts=_whole(data.get("groups")),
        asked_rate=_number(_section(manifest, "calibration").get("asked_rate")),
        taught=_section(trained, "taught") or None,
        sensitivity=_number(sensitivity.get("local")),
        note=note,
    )


def find_version(words: str, versions: Collection[str], product: str) -> str:
    """The version that a digest, or the beginning of one, names.

    >>> find_version("ab", ["abc0", "b000"], "tile")
    'abc0'

    Raises:
        LearningError: none, or several begin so.
    """
    found = [digest for digest in versions if digest.startswith(words)] if words else []
    if len(found) == 1:
        return found[0]
    problem = "several versions begin" if found else "no version begins"
    raise LearningError(
        f"{product}: {problem} with {words!r}; "
        f"`andon models list --product {shlex.quote(product)}` lists them"
    )


def before(changes: Sequence[ModelChange], product: str) -> tuple[str, str | None]:
    """The expert and the exemplars to which a rollback returns; see ``Wish.exemplars``.

    Args:
        changes: the product's audit, latest first.

    Raises:
        LearningError: no command put anything in force, or there was nothing before.
    """
    if not changes or changes[0].from_expert is None:
        raise LearningError(
            f"{product}: the audit knows no version before the one in force; "
            f"`andon models use {shlex.quote(product)} VERSION` names one"
        )
    last = changes[0]
    assert last.from_expert is not None
    changed = last.from_exemplars != last.to_exemplars
    return last.from_expert, (last.from_exemplars or "") if changed else None


def _section(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
