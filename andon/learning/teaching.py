"""Exemplars teach an expert: a new version of it, and the bundle calibrated with that version."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from andon.learning.candidate import labelled_picture
from andon.wiring import storage
from serving.expert_versions import VersionNote
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.options import Progress
from serving.experts.teaching import teach
from serving.experts.tradeoff import FoundRow
from serving.naming.exemplars import load_bundle
from serving.naming.teaching import teach_product


class TaughtGains(TypedDict):
    """What the manifest of a taught expert says under ``trained.taught``, as far as it is shown."""

    classes: dict[str, dict[str, int]]
    at_rates: list[FoundRow]


@dataclass(frozen=True)
class TaughtVersion:
    """A taught version and the exemplars that were calibrated with it."""

    base: str
    """Digest of the expert that it was made from."""
    expert: Path
    exemplars: Path
    gained: TaughtGains


def teach_version(
    bundle: Path,
    artifact: Path,
    normals: Sequence[bytes],
    report: Progress,
    normal_parts: Sequence[str] = (),
) -> TaughtVersion | None:
    """Teach an expert all exemplars of a bundle, and calibrate the bundle with the new version.

    Args:
        bundle: the exemplars' folder.
        artifact: the expert to teach, taught before or not; the new version stands beside it.
        normals: encoded normal photographs that it was trained on, and that the bundle's were
            chosen from; without any, the bundle's.
        report: told of every step.
        normal_parts: the part of each, empty where nobody said.

    Returns:
        None where the expert is of a kind that is not taught, or was saved without its training
        set.
    """
    known, expert = load_bundle(bundle), load_expert(artifact)
    if not isinstance(expert, ComposedExpert) or expert.keep is None:
        return None
    pictures = [labelled_picture(e, expert.bit_depth, drawn_only=True) for e in known.exemplars]
    taught = teach(expert, pictures, report)
    digest = save_artifact(taught, artifact.parents[1])
    new = load_expert(artifact.parent / digest)
    assert isinstance(new, ComposedExpert)
    paired = teach_product(
        bundle.parents[1],
        known.product_id,
        (),
        normal_parts=normal_parts,
        expert=new,
        known_normals=normals,
        onto=bundle,
    )
    note = VersionNote(base=artifact.name, exemplars=paired.name)  # `andon models use` takes both
    store = storage.bundle_store(str(artifact.parents[1]))
    store.put_note(new.product, digest, note.model_dump_json().encode())
    made = artifact.parent / digest
    return TaughtVersion(artifact.name, made, paired, new.model.trained["taught"])
