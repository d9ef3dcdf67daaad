"""Learning as a whole: rehearse on earlier reviews, judge on later ones, then learn from all."""

from collections.abc import Sequence
from dataclasses import dataclass

from andon.learning.candidate import Apprentice, Candidate, compare, showing, suspects_of
from andon.learning.errors import LearningError
from andon.learning.figures import JudgedTwice, Shares, by_class, shares
from andon.learning.lessons import FEWEST, ReviewedPicture, split_by_time
from andon.learning.suspects import SuspectLabel
from serving.experts.options import Progress
from serving.experts.types import Scored


@dataclass(frozen=True)
class LearningOptions:
    """How reviews are learned from."""

    most: int
    """Photographs of each class that the reviews may add."""
    later_share: float
    """Share of the reviewed parts, the latest, that the rehearsal is judged on; in (0, 1)."""


@dataclass(frozen=True, eq=False)
class TestedCandidate:
    """A candidate, and the evidence for it."""

    candidate: Candidate
    """Learned from all reviews."""
    verdicts: list[JudgedTwice]
    """Of the later parts, by a rehearsal that had learned from the earlier ones alone."""
    pictures: list[ReviewedPicture]
    """Those later parts, in the same order."""
    scored: list[tuple[Scored, Scored]]
    """Their answers before and after."""
    suspects: list[SuspectLabel]
    """Exemplars of the candidate that disagree with their class."""
    known_before: int = 0
    """Later photographs of parts that the exemplars in force show: the expert in force was taught
    them, so that its share of escapes is too low. The rehearsal did without."""

    @property
    def caveat(self) -> list[str]:
        """What to say where the expert in force had been taught what it is judged on."""
        if not self.known_before:
            return []
        return [
            f"The expert in force was taught the parts of {self.known_before} of the later "
            "photographs of defects, the rehearsal was not: what escapes it in force is too low."
        ]

    @property
    def shares(self) -> Shares:
        """Escapes and false alarms of the later parts."""
        return shares(self.verdicts)

    @property
    def by_class(self) -> dict[str, Shares]:
        """The same of each class."""
        return by_class(self.verdicts)


def learn_and_test(
    apprentice: Apprentice,
    pictures: Sequence[ReviewedPicture],
    options: LearningOptions,
    progress: Progress | None = None,
) -> TestedCandidate:
    """A candidate from all reviews, with figures of a rehearsal that never saw the later parts.

    Raises:
        LearningError: too few reviews to learn anything from, or to test it.
    """
    earlier, later = split_by_time(pictures, options.later_share)
    defects = {p.part for p in earlier if p.is_defect}
    if len(defects) < FEWEST:
        raise LearningError(
            f"{len(defects)} reviewed defective parts with a picture are too few to learn from: "
            f"review at least {FEWEST}, of different parts"
        )
    if not later:
        raise LearningError(
            f"{len(pictures)} reviewed photographs leave no later part to test on: review more"
        )
    rehearsed = apprentice.learn(earlier, options.most, later)
    verdicts, scored = compare(apprentice.expert, rehearsed.expert, later, progress)
    candidate = apprentice.learn(pictures, options.most)
    known = sum(bool(showing(apprentice.bundle.exemplars, [p])) for p in later if p.is_defect)
    suspects = suspects_of(candidate.bundle)
    return TestedCandidate(candidate, verdicts, list(later), scored, suspects, known)
