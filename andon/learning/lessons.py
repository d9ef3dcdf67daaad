"""What reviews teach: labelled photographs, which of them are taken, and which came later. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from andon.learning.errors import LearningError
from streams.regions import Mask

MOST_PER_CLASS = 20
"""Photographs of one class that teach; each makes a score a little dearer."""
LATER_SHARE = 0.3
"""Share of the reviewed parts, the latest, that the rehearsal is judged on."""
FEWEST = 2
"""Parts of a kind that one side of the rehearsal needs to say anything."""


@dataclass(frozen=True, eq=False)
class ReviewedPicture:
    """A photograph of a part that a person judged."""

    frame: str
    """Frame id; what ``--without`` takes out."""
    part: str
    at: datetime
    """When the part was photographed."""
    class_name: str
    """Empty for a normal part."""
    image: bytes
    outline: Mask | None = None
    """Where a person painted the defect, else where the expert in force saw something odd; None
    where it saw nothing."""
    drawn: bool = False
    """A person painted the outline."""
    action: str = ""
    """What the line did with the part."""

    @property
    def is_defect(self) -> bool:
        """Whether the person named a class."""
        return bool(self.class_name)


def without(pictures: Sequence[ReviewedPicture], frames: Sequence[str]) -> list[ReviewedPicture]:
    """The pictures but those that were taken out.

    Raises:
        LearningError: a frame that is not among them: probably a slip.
    """
    unknown = sorted(set(frames) - {p.frame for p in pictures})
    if unknown:
        raise LearningError(f"--without {unknown[0]}: no reviewed frame with a picture has this id")
    return [p for p in pictures if p.frame not in set(frames)]


def split_by_time(
    pictures: Sequence[ReviewedPicture], later_share: float = LATER_SHARE
) -> tuple[list[ReviewedPicture], list[ReviewedPicture]]:
    """Earlier and later pictures; a part is never on both sides.

    Each class and the normals are split by themselves, so that both sides know all that is
    frequent: a class of a single part is on the earlier side.
    """
    earlier: list[ReviewedPicture] = []
    later: list[ReviewedPicture] = []
    by_class: dict[str, list[ReviewedPicture]] = defaultdict(list)
    for picture in pictures:
        by_class[picture.class_name].append(picture)
    tested: set[str] = set()
    for name in sorted(by_class):
        last = {
            p.part: max(q.at for q in by_class[name] if q.part == p.part) for p in by_class[name]
        }
        ordered = sorted(last, key=lambda part: (last[part], part))
        count = int(len(ordered) * later_share)
        tested |= set(ordered[len(ordered) - count :]) if count else set()
    for picture in pictures:
        (later if picture.part in tested else earlier).append(picture)
    return earlier, later


def choose(
    pictures: Sequence[ReviewedPicture], most: int = MOST_PER_CLASS
) -> list[ReviewedPicture]:
    """The pictures that teach: of each class at most ``most``, as many different parts as can be.

    Newer ones come first, since the line shows what they show.
    """
    chosen: list[ReviewedPicture] = []
    for name in sorted({p.class_name for p in pictures if p.is_defect}):
        own = sorted(
            (p for p in pictures if p.class_name == name), key=lambda p: p.at, reverse=True
        )
        rounds: dict[str, int] = defaultdict(int)
        ranked = []
        for picture in own:
            ranked.append((rounds[picture.part], picture))
            rounds[picture.part] += 1
        chosen += [p for _, p in sorted(ranked, key=lambda item: item[0])[:most]]
    return chosen
