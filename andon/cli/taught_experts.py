"""Exemplars teach the expert too: a new version of it, and the bundle calibrated with that.

What a command put in force stays so: expert and exemplars then wait together in their stores.
"""

import fcntl
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from andon.cli.experts import (
    artifact_root,
    find_artifact,
    stage_bars,
    waiting_words,
)
from andon.learning.alone import hold_where_asked
from andon.learning.teaching import TaughtVersion, teach_version
from andon.learning.versions import find_version
from andon.settings import load_settings
from andon.wiring import storage
from serving.bundles import product_folder
from serving.naming.exemplars import latest, load_bundle


def expert_to_teach(product: str, given: Path | None) -> Path | None:
    """The artifact that is given, else the product's expert in force; None where there is none.

    Raises:
        StoreError: the pointer is damaged, or what it names was altered.
    """
    if given is not None:
        return find_artifact(given)
    if "://" in load_settings().paths.artifacts:
        return None
    store = storage.bundle_store(str(artifact_root()))
    digest = store.in_force(product)
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
    store = storage.bundle_store(str(root))
    return store.fetch(product, find_version(wanted, store.versions(product), product))


@contextmanager
def one_teacher(root: Path, product: str) -> Iterator[None]:
    """Whoever teaches the product meanwhile waits: each adds to the exemplars in force.

    Args:
        root: folder of bundles, which exists.
        product: its name.
    """
    handle = os.open(root / f".{product_folder(product)}.teaching", os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            typer.echo(f"{product}: waits for another command that teaches it", err=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def hold_exemplars(root: Path, product: str) -> None:
    """Pin the exemplars in force where the expert is pinned, so that new ones wait with theirs.

    Where new ones need a second person, the expert in force is pinned first.
    """
    settings = load_settings()
    experts = storage.bundle_store(settings.paths.artifacts)
    hold_where_asked(settings, experts, product)
    if experts.pointed(product) is None:
        return
    exemplars = storage.bundle_store(str(root))
    if exemplars.pointed(product) is None:
        exemplars.point(product, exemplars.in_force(product))


def waiting_exemplars(root: Path, product: str, bundle: Path) -> str:
    """What to say of exemplars that wait without an expert of theirs; empty where they do not."""
    if storage.bundle_store(str(root)).in_force(product) == bundle.name:
        return ""
    return (
        f"not in force: `andon models use {shlex.quote(product)} EXPERT "
        f"--exemplars {bundle.name[:12]}` puts them in force, "
        f"`--set onto={bundle.name[:12]}` adds more to them"
    )


@dataclass(frozen=True)
class TaughtExpert:
    """A taught version in the store, and what to say where it waits there."""

    made: TaughtVersion
    waits: str
    """What to do where the new version is not in force by itself; else empty."""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        made = self.made
        paths = {"expert": str(made.expert), "exemplars": str(made.exemplars)}
        said = {"base": made.base, "waits": self.waits, "gained": made.gained}
        return {**paths, **said}


def teach_expert(
    bundle: Path, artifact: Path, normals: Sequence[bytes], parts: Sequence[str]
) -> TaughtExpert | None:
    """Teach an expert all exemplars of a bundle; None where it is of a kind that is not taught.

    Args:
        bundle: the exemplars' folder.
        artifact: the expert to teach, taught before or not.
        normals: encoded normal photographs that it was trained on, and that the bundle's were
            chosen from; without any, the bundle's.
        parts: the part of each, empty where nobody said.
    """
    with stage_bars() as report:
        made = teach_version(bundle, artifact, normals, report, parts)
    if made is None:
        return None
    waits = waiting_words(artifact.parents[1], load_bundle(bundle).product_id, made.expert.name)
    if waits:
        waits += f"; `--set onto={made.exemplars.name[:12]}` adds more examples to these"
    return TaughtExpert(made, waits)
