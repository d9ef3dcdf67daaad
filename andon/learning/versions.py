"""The versions of a product's expert: what the store and the audit know of each. Pure."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from andon.learning.errors import LearningError
from history.model_log import ModelChange
from serving.expert_versions import Version, VersionNote
from serving.ray.replicas import ReplicaStatus


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
    trained = section_of(manifest, "trained")
    data, sensitivity = section_of(trained, "data"), section_of(trained, "sensitivity")
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
        asked_rate=number_of(section_of(manifest, "calibration").get("asked_rate")),
        taught=section_of(trained, "taught") or None,
        sensitivity=number_of(sensitivity.get("local")),
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


def section_of(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A mapping within a manifest; empty where an earlier release wrote none."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def number_of(value: object) -> float | None:
    """A number of a manifest; None for anything else."""
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
