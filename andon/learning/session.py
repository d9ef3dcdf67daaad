"""One session of learning: what is in force comes from the store, the candidate goes back to it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.learning.candidate import Apprentice, Candidate
from andon.learning.errors import LearningError
from andon.learning.in_force import Stores, hold_in_force
from andon.learning.lessons import ReviewedPicture
from andon.learning.rehearsal import LearningOptions, TestedCandidate, learn_and_test
from andon.learning.report import write_learning_report
from serving.bundle_store import SHADOW
from serving.bundles import digest_of, product_path
from serving.expert_versions import VersionNote
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.options import Progress
from serving.naming.exemplars import ExemplarBundle, load_bundle
from serving.naming.features import DEFAULT_BACKBONE
from serving.naming.hard_normals import pair


@dataclass(frozen=True, eq=False)
class Made:
    """A candidate in the store, not in force."""

    product: str
    digest: str
    exemplars: str
    """Digest of the exemplar bundle that belongs to it."""
    tested: TestedCandidate
    report: Path
    frames: dict[str, str]
    """Frame id by SHA-256 of its picture."""

    def suspects(self) -> list[tuple[str, str, str]]:
        """Exemplars that disagree with their class: name, its class, the class it looks like."""
        exemplars = self.tested.candidate.bundle.exemplars
        found = []
        for suspect in self.tested.suspects:
            own = exemplars[suspect.index]
            name = self.frames.get(own.sha256, own.part or own.sha256[:12])
            found.append((name, suspect.class_name, suspect.looks_like))
        return found

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "product": self.product,
            "candidate": self.digest,
            "exemplars": self.exemplars,
            "learned": list(self.tested.candidate.learned),
            "held_out": self.tested.shares.as_json(),
            "by_class": {k: v.as_json() for k, v in self.tested.by_class.items()},
            "known_before": self.tested.known_before,
            "doubtful": [
                {"exemplar": name, "class": own, "looks_like": other}
                for name, own, other in self.suspects()
            ],
            "report": str(self.report),
        }


@dataclass(frozen=True, eq=False)
class Session:
    """The expert in force of a product, ready to be taught."""

    stores: Stores
    product: str
    base: str
    """Digest of the expert in force."""
    apprentice: Apprentice
    progress: Progress

    @classmethod
    def open(cls, stores: Stores, product: str, progress: Progress) -> "Session":
        """Fetch what is in force.

        Raises:
            LearningError: the product has no expert, or one that cannot be taught.
            AndonError: the store cannot be read.
        """
        base = stores.experts.in_force(product)
        if base is None:
            raise LearningError(f"{product}: no expert in the store; `andon train` makes one")
        digest = stores.exemplars.in_force(product)
        bundle = ExemplarBundle(product, DEFAULT_BACKBONE)
        if digest is not None:
            bundle = load_bundle(stores.exemplars.fetch(product, digest))
        expert = load_expert(stores.experts.fetch(product, base))
        return cls(stores, product, base, Apprentice(expert, bundle, progress), progress)

    def learn(
        self,
        pictures: Sequence[ReviewedPicture],
        most: int,
        later_share: float,
        without: Sequence[str],
        report: Path,
    ) -> Made:
        """A candidate in the store with its note, and its report; what is in force stays so.

        Raises:
            LearningError: too little to learn from, or nothing to test it on.
        """
        options = LearningOptions(most, later_share)
        found = learn_and_test(self.apprentice, pictures, options, self.progress)
        hold_in_force(self.stores, self.product)
        with tempfile.TemporaryDirectory(prefix="andon-learn-") as folder:
            digest = save_artifact(found.candidate.expert, Path(folder))
            self.stores.experts.add(self.product, product_path(Path(folder), self.product) / digest)
            bundle = _paired(found.candidate).save(Path(folder) / "exemplars")
            self.stores.exemplars.add(self.product, bundle)
        note = VersionNote(
            base=self.base,
            exemplars=bundle.name,
            learned=list(found.candidate.learned),
            without=list(without),
            held_out=found.shares.as_json(),
        )
        self.stores.experts.put_note(self.product, digest, note.model_dump_json().encode())
        frames = {digest_of(p.image): p.frame for p in pictures}
        words = [
            f"Candidate {digest[:12]} of the expert in force {self.base[:12]}, from "
            f"{len(note.learned)} of {len(pictures)} reviewed photographs.",
            "The figures are of a rehearsal: it learned from the earlier parts alone and is judged "
            "on the later ones. The candidate then learned from both.",
            *found.caveat,
        ]
        write_learning_report(report, self.product, words, found, frames)
        return Made(self.product, digest, bundle.name, found, report, frames)

    def shadow(self, made: Made) -> None:
        """Let the replicas score the candidate beside the expert in force."""
        self.stores.experts.point(self.product, made.digest, SHADOW)


def _paired(candidate: Candidate) -> ExemplarBundle:
    """The bundle with what the candidate, not the expert before, says of its normal pictures.

    A bundle without normals that an expert judged has nothing to be calibrated on.
    """
    bundle = candidate.bundle
    if bundle.gate is None:
        return bundle
    return pair(bundle, candidate.expert, reviewed=candidate.false_alarms)
