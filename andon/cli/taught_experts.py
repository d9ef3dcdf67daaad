"""Exemplars teach the expert too: a new version of it, and the bundle calibrated with that."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from andon import wiring
from andon.cli.experts import (
    artifact_root,
    find_artifact,
    product_artifacts,
    stage_bars,
    waiting_words,
)
from andon.learning.candidate import labelled_picture
from andon.learning.versions import VersionNote
from andon.settings import load_settings
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.teaching import teach
from serving.experts.tradeoff import FoundRow
from serving.naming.exemplars import load_bundle
from serving.naming.teaching import teach_product


def newest_expert(product: str, given: Path | None) -> Path | None:
    """The artifact that is given, else the product's newest; None where no folder has one."""
    if given is not None:
        return find_artifact(given)
    if "://" in load_settings().paths.artifacts:
        return None
    folder = product_artifacts(artifact_root(), product)
    return find_artifact(folder) if any(folder.glob("*/manifest.json")) else None


class TaughtGains(TypedDict):
    """What the manifest of a taught expert says under ``trained.taught``, as far as it is shown."""

    classes: dict[str, dict[str, int]]
    at_rates: list[FoundRow]


@dataclass(frozen=True)
class TaughtExpert:
    """A taught version and the exemplars that were calibrated with it."""

    expert: Path
    exemplars: Path
    waits: str
    """What to do where the new version is not in force by itself; else empty."""
    gained: TaughtGains

    def as_json(self) -> dict[str, object]:
        """For programs."""
        paths = {"expert": str(self.expert), "exemplars": str(self.exemplars)}
        return {**paths, "waits": self.waits, "gained": self.gained}


def teach_expert(bundle: Path, artifact: Path, normals: Sequence[bytes]) -> TaughtExpert | None:
    """Teach an expert all exemplars of a bundle, and calibrate the bundle with the new version.

    Args:
        bundle: the exemplars' folder.
        artifact: the expert to teach, taught before or not.
        normals: encoded normal photographs that it was trained on; without any, the bundle's.

    Returns:
        None where the expert is of a kind that is not taught, or was saved without its training
        set.
    """
    known, expert = load_bundle(bundle), load_expert(artifact)
    if not isinstance(expert, ComposedExpert) or expert.keep is None:
        return None
    with stage_bars() as report:
        taught = teach(
            expert, [labelled_picture(e, drawn_only=True) for e in known.exemplars], report
        )
    digest = save_artifact(taught, artifact.parents[1])
    new = load_expert(artifact.parent / digest)
    assert isinstance(new, ComposedExpert)
    root = bundle.parents[1]
    paired = teach_product(root, known.product_id, (), expert=new, known_normals=normals)
    note = VersionNote(base=artifact.name, exemplars=paired.name)  # `andon models use` takes both
    artifacts, product = artifact.parents[1], artifact.parent.name
    wiring.bundle_store(str(artifacts)).put_note(product, digest, note.model_dump_json().encode())
    waits = waiting_words(artifacts, product, digest)
    return TaughtExpert(artifact.parent / digest, paired, waits, new.model.trained["taught"])
