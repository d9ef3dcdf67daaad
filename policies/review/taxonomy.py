"""Finds what is wrong with a set of classes, from what a classifier answered and what was true.

The authors of VELM went through two data sets by hand: they merged classes that nobody can tell
apart, took out classes that hold several kinds of anomaly, and moved samples that were filed under
the wrong class (Mokhtar et al. 2025, section 3.3). Here the answers are asked the same questions.
Where two confused classes have different actions, merging them would be a decision about quality:
they are named with what the confusion costs, and never proposed for merging.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from prompts.names import RESERVED, fold

LEAST_CONFUSED: Final = 2
"""Fewer answers across a pair are chance, and no proposal."""
LEAST_SHARE: Final = 0.2
"""A kind that a class seems to hold makes up at least this share of its parts."""
MISLABELLED: Final = 0.03
"""Share of labels that are wrong, before anything was looked at."""
LIKELY: Final = 0.25
"""From this probability on, a part is named as perhaps mislabelled."""


@dataclass(frozen=True)
class ClassNote:
    """What is known of a class besides its parts; all but the name may be missing."""

    name: str
    display_name: str = ""
    description: str = ""
    passes: bool | None = None
    """Whether its parts pass; None where no policy says."""

    @property
    def words(self) -> Counter[str]:
        """The words of its name and description."""
        text = fold(f"{self.name} {self.display_name} {self.description}")
        return Counter(re.findall(r"[^\W\d_]{3,}", text.replace("_", " ")))


@dataclass(frozen=True)
class LabelledAnswer:
    """One part: what it is filed under, and what the classifier calls it."""

    part: str
    truth: str
    answer: str
    confidence: float = 1.0
    of_truth: float | None = None
    """The confidence that the classifier gave the true class; None where it is not recorded."""


@dataclass(frozen=True)
class Pair:
    """Two classes that are taken for each other more often than for any other reason."""

    first: str
    second: str
    score: float
    """Share of both classes' parts that is confused beyond the base rate, 0 to 1, and up to twice
    that where the texts say the same."""
    first_parts: int
    second_parts: int
    first_as_second: int
    second_as_first: int
    similarity: float
    """Of names and descriptions, 0 to 1."""
    cost: float = 0.0
    """Of the confusion, by the policy's prices; 0 where both have one action."""


@dataclass(frozen=True)
class Several:
    """A class whose parts are taken for several others and seldom for itself."""

    name: str
    recognised: float
    """Share of its parts that is called by its name."""
    kinds: Mapping[str, int]
    """The classes that its parts are taken for, most frequent first."""


@dataclass(frozen=True)
class Suspect:
    """A part that may be filed under the wrong class."""

    part: str
    truth: str
    looks_like: str
    probability: float
    confidence: float


@dataclass(frozen=True)
class Audit:
    """What the answers say of the classes, the gravest of each kind first."""

    parts: int
    merges: tuple[Pair, ...]
    borders: tuple[Pair, ...]
    """Confused classes, of which one passes and one does not."""
    several: tuple[Several, ...]
    suspects: tuple[Suspect, ...]
    never_answered: tuple[str, ...]
    foreign: Mapping[str, int]
    """Answers that are none of the classes."""


@dataclass(frozen=True)
class ConfusionPrices:
    """What a confusion across the border costs: a defect that passes, a good part that is held."""

    escape: float = 1.0
    hold: float = 1.0


def audit(
    answers: Sequence[LabelledAnswer],
    notes: Mapping[str, ClassNote],
    prices: ConfusionPrices | None = None,
) -> Audit:
    """Judge the classes of one product.

    Args:
        answers: of parts that were named; ``normal`` and ``unknown`` on either side say nothing.
        notes: by class; a class of the answers without one has its name only.
        prices: of confusions across the border.
    """
    named = [a for a in answers if a.truth not in RESERVED and a.answer not in RESERVED]
    counts = _Counts(Counter((a.truth, a.answer) for a in named))
    known = {name: notes.get(name, ClassNote(name)) for name in sorted({*notes, *counts.classes})}
    alike = Similarity(list(known.values()))
    pairs = [
        _pair(counts, known[one], known[two], alike, prices or ConfusionPrices())
        for one, two in combinations(counts.classes, 2)
    ]
    confused = [p for p in pairs if p.first_as_second + p.second_as_first >= LEAST_CONFUSED]
    across = [p for p in confused if _border(known[p.first], known[p.second])]
    within = [p for p in confused if p not in across and p.score > 0.0]
    foreign = Counter(a.answer for a in named if a.answer not in counts.classes)
    return Audit(
        parts=len(named),
        merges=tuple(sorted(within, key=lambda p: (-p.score, p.first, p.second))),
        borders=tuple(sorted(across, key=lambda p: (-p.cost, -p.score, p.first, p.second))),
        several=tuple(_several(counts)),
        suspects=tuple(_suspects(counts, named)),
        never_answered=tuple(n for n in counts.classes if not counts.answered[n]),
        foreign=dict(foreign.most_common()),
    )


class _Counts:
    """The table of true classes and answers of one product."""

    def __init__(self, table: Counter[tuple[str, str]]) -> None:
        self.table = table
        self.of: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        for (truth, answer), number in table.items():
            self.of[truth] += number
            self.answered[answer] += number
        self.classes = tuple(sorted(self.of))

    def base_rate(self, answer: str, without: str) -> float:
        """How often parts of further classes are called ``answer``, which they are not."""
        others = [name for name in self.classes if name not in (answer, without)]
        parts = sum(self.of[name] for name in others)
        return sum(self.table[name, answer] for name in others) / parts if parts else 0.0

    def excess(self, truth: str, answer: str) -> float:
        """Parts of ``truth`` called ``answer`` beyond what befalls any class."""
        expected = self.of[truth] * self.base_rate(answer, truth)
        return max(0.0, self.table[truth, answer] - expected)

    def recall(self, name: str) -> float:
        """Share of a class that is called by its name, drawn a little towards one half."""
        return (self.table[name, name] + 1) / (self.of[name] + 2)


class Similarity:
    """How much two of some classes' texts say the same, by words that few of the others use."""

    def __init__(self, notes: Sequence[ClassNote]) -> None:
        words = {note.name: note.words for note in notes}
        used = Counter(word for of_class in words.values() for word in of_class)
        self._weights = {
            name: {
                w: (1 + math.log(n)) * math.log(1 + len(words) / used[w]) for w, n in own.items()
            }
            for name, own in words.items()
        }

    def of(self, one: str, two: str) -> float:
        """The cosine of the two classes' weighted words, 0 to 1."""
        first, second = self._weights[one], self._weights[two]
        together = sum(weight * second.get(word, 0.0) for word, weight in first.items())
        norms = math.hypot(*first.values()) * math.hypot(*second.values())
        return together / norms if norms else 0.0


def _border(one: ClassNote, two: ClassNote) -> bool:
    return None not in (one.passes, two.passes) and one.passes is not two.passes


def _pair(
    counts: _Counts, one: ClassNote, two: ClassNote, alike: Similarity, prices: ConfusionPrices
) -> Pair:
    there, back = counts.table[one.name, two.name], counts.table[two.name, one.name]
    excess = counts.excess(one.name, two.name) + counts.excess(two.name, one.name)
    similarity = alike.of(one.name, two.name)
    cost = 0.0
    if _border(one, two):
        escaped, held = (back, there) if one.passes else (there, back)
        cost = escaped * prices.escape + held * prices.hold
    parts = counts.of[one.name], counts.of[two.name]
    score = excess / sum(parts) * (1.0 + similarity)
    return Pair(one.name, two.name, score, *parts, there, back, similarity, cost)


def _several(counts: _Counts) -> list[Several]:
    found = []
    for name in counts.classes:
        least = max(LEAST_CONFUSED, LEAST_SHARE * counts.of[name])
        kinds = {
            k: n for k in counts.classes if k != name and (n := counts.table[name, k]) >= least
        }
        recognised = counts.table[name, name] / counts.of[name]
        if len(kinds) >= 2 and recognised < 0.5:
            ordered = dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
            found.append(Several(name, recognised, ordered))
    return sorted(found, key=lambda s: s.recognised)


def _suspects(counts: _Counts, named: Sequence[LabelledAnswer]) -> list[Suspect]:
    """Parts that are more likely of the answered class, wrongly filed, than misnamed.

    A class that is often taken for the other explains the answer without a wrong label.
    """
    found = []
    for part in named:
        if part.answer == part.truth or part.answer not in counts.of:
            continue
        misnamed = _misnamed(counts, part)
        wrong = MISLABELLED * counts.recall(part.answer)
        probability = wrong / (wrong + (1 - MISLABELLED) * misnamed)
        if probability >= LIKELY:
            found.append(Suspect(part.part, part.truth, part.answer, probability, part.confidence))
    return sorted(found, key=lambda s: (-s.probability, -s.confidence, s.part))


def _misnamed(counts: _Counts, part: LabelledAnswer) -> float:
    """How likely a rightly filed part of the class gets this answer.

    By how often its other parts do, and at least as often as the confidences of this part say.
    """
    others = counts.table[part.truth, part.answer] - 1
    if part.of_truth is None or part.confidence <= 0.0:
        return (others + 0.5) / counts.of[part.truth]
    ratio = part.of_truth / part.confidence
    return max(others / counts.of[part.truth], ratio * counts.recall(part.answer))
