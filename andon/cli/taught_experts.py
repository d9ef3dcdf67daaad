"""Exemplars teach the expert too: a new version of it, and the bundle calibrated with that.

What a command put in force stays so: expert and exemplars then wait together in their stores.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from andon import wiring
from andon.cli.experts import (
    artifact_root,
    find_artifact,
    stage_bars,
    waiting_words,
)
from andon.learning.candidate import labelled_picture
from andon.learning.versions import VersionNote, find_version
from andon.settings import load_settings
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.teaching import teach
from serving.experts.tradeoff import FoundRow
from serving.naming.exemplars import latest, load_bundle
from serving.naming.teaching import teach_product


def expert_to_teach(product: str, given: Path | None) -> Path | None:
    """The artifact that is given, else the product's expert in force; None where there is none.

    Raises:
        StoreError: the pointer is damaged, or what it names was altered.
    """
    if given is not None:
        return find_artifact(given)
    if "://" in load_settings().paths.artifacts:
        return None
    store = wiring.bundle_store(str(artifact_root()))
    digest = store.products().get(product)
    return store.fetch(product, digest) if digest is not None else None


def bundle_to_teach(root: Path, product: str, wanted: str | None) -> Path | None:
    """The exemplars that lessons are added to: those wanted, else those in force, if any.

    Args:
        root: folder of bundles.
        wanted: a digest, or the beginning of one.

    Raises:
        LearningError: none, or several begin so.
    """
    if wanted is None:
        return latest(root, product)
    store = wiring.bundle_store(str(root))
    return store.fetch(product, find_version(wanted, store.versions(product), product))


def hold_exemplars(root: Path, product: str) -> None:
    """Pin the exemplars in force where the expert is pinned, so that new ones wait with theirs."""
    artifacts = load_settings().paths.artifacts
    if wiring.bundle_store(artifacts).pointed(product) is None:
        return
    exemplars = wiring.bundle_store(str(root))
    if exemplars.pointed(product) is None:
        exemplars.point(product, exemplars.products().get(product))


def waiting_exemplars(root: Path, product: str, bundle: Path) -> str:
    """What to say of exemplars that wait without an expert of theirs; empty where they do not."""
    if wiring.bundle_store(str(root)).products().get(product) == bundle.name:
        return ""
    return (
        f"not in force: `andon models use {shlex.quote(product)} EXPERT "
        f"--exemplars {bundle.name[:12]}` puts them in force, "
        f"`--set onto={bundle.name[:12]}` adds more to them"
    )


class TaughtGains(TypedDict):
    """What the manifest of a taught expert says under ``trained.taught``, as far as it is shown."""

    classes: dict[str, dict[str, int]]
    at_rates: list[FoundRow]


@dataclass(frozen=True)
class TaughtExpert:
    """A taught version and the exemplars that were calibrated with it."""

    base: str
    """Digest of the expert that it was made from."""
    expert: Path
    exemplars: Path
    waits: str
    """What to do where the new version is not in force by itself; else empty."""
    gained: TaughtGains

    def as_json(self) -> dict[str, object]:
        """For programs."""
        paths = {"expert": str(self.expert), "exemplars": str(self.exemplars)}
        said = {"base": self.base, "waits": self.waits, "gained": self.gained}
        return {**paths, **said}


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
            expert,
            [labelled_picture(e, expert.bit_depth, drawn_only=True) for e in known.exemplars],
            report,
        )
    digest = save_artifact(taught, artifact.parents[1])
    new = load_expert(artifact.parent / digest)
    assert isinstance(new, ComposedExpert)
    root = bundle.parents[1]
    paired = teach_product(
        root, known.product_id, (), expert=new, known_normals=normals, onto=bundle
    )
    note = VersionNote(base=artifact.name, exemplars=paired.name)  # `andon models use` takes both
    artifacts, product = artifact.parents[1], new.product
    wiring.bundle_store(str(artifacts)).put_note(product, digest, note.model_dump_json().encode())
    waits = waiting_words(artifacts, product, digest)
    if waits:
        waits += f"; `--set onto={paired.name[:12]}` adds more examples to these"
    made = artifact.parent / digest
    return TaughtExpert(artifact.name, made, paired, waits, new.model.trained["taught"])
