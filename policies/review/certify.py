"""Says which classes may pass by themselves: at most so many escapes, at a stated confidence.

Two promises are known. *Each class* bounds the share of defects among the parts that pass under a
class; it needs reviews of that class only, however few parts of other classes were looked at. *All
together* bounds the share of the defects that pass under any of the classes; it needs a random
sample of all named parts. Both learn from reviewed answers and then test (``policies.review.
bounds``): what is tested, and in which order, is fixed before a tested outcome is looked at.
"""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from policies.review.bounds import (
    binomial_tail,
    finite_tail,
    more_trials,
    reject_in_sequence,
    trials_to_certify,
    upper_bound,
)

STEPS: Final = 8
"""Thresholds that are tried of one class, besides none."""
LEARNT: Final = 1 / 3
"""Share of the reviews that fix the order of the classes and are not tested on."""
PRIOR: Final = 2.0
"""Answers of the average kind that every class is thought to have had before the first."""


@dataclass(frozen=True)
class ReviewedAnswer:
    """What the classifier said of a part, and whether a person found a defect."""

    class_name: str
    confidence: float
    is_defect: bool


@dataclass(frozen=True)
class Promise:
    """At most ``escape`` of the parts escape, at confidence ``confidence``; both in (0, 1)."""

    escape: float = 0.05
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuse what promises nothing."""
        for name, value in (("escape", self.escape), ("confidence", self.confidence)):
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} is {value:g} and must lie between 0 and 1")

    @property
    def level(self) -> float:
        """The chance that the promise is given and broken."""
        return round(1.0 - self.confidence, 12)


@dataclass(frozen=True)
class ClassFinding:
    """One class: whether it may pass by itself, from which confidence on, and on what grounds."""

    class_name: str
    from_confidence: float | None
    """None: not certified."""
    reviews: int
    """Reviewed answers that the bound stands on."""
    escapes: int
    """Of them: defects."""
    bound: float
    """Upper bound of the share of escapes; at most the promised one where certified."""
    more_reviews: int | None = None
    """How many more are needed when things go on as so far; None: more of the same never do."""

    @property
    def certified(self) -> bool:
        """Whether the class may pass by itself."""
        return self.from_confidence is not None


def certify_each(
    answers: Sequence[ReviewedAnswer], candidates: Collection[str], promise: Promise
) -> tuple[ClassFinding, ...]:
    """Which classes may pass, each such that few of the parts that pass under it are defects.

    The chance that any class is certified wrongly is at most ``1 - promise.confidence``, over all
    classes and thresholds. Of each class all answers are tested, and, where confidences differ,
    from the surest half on downwards.

    Args:
        answers: reviewed ones, within each class picked without regard to the outcome.
        candidates: classes that the policy would let pass.
        promise: what is asked.
    """
    by_class = {name: _surest_first(answers, name) for name in sorted(candidates)}
    level = promise.level / max(1, 2 * len(by_class))
    chains: list[tuple[str, tuple[int, ...]]] = []
    for name, own in by_class.items():
        chains.append((name, (len(own),)))
        if steps := _steps(own, promise.escape, level):
            chains.append((name, steps))
    tails = [[_tail(by_class[name], n, promise) for n in steps] for name, steps in chains]
    results = reject_in_sequence(tails, promise.level)
    found: dict[str, ClassFinding] = {}
    for (name, steps), (rejected, at_level) in zip(chains, results, strict=True):
        own, all_of_them = by_class[name], steps[0] == len(by_class[name])
        known = found.get(name)
        if rejected and not (known and known.certified):
            size = steps[rejected - 1]
            threshold = 0.0 if all_of_them else own[size - 1].confidence
            found[name] = _finding(own[:size], name, threshold, at_level, promise)
        elif known is None:
            found[name] = _finding(own, name, None, at_level, promise)
    return tuple(found.values())


def certify_together(
    answers: Sequence[ReviewedAnswer],
    candidates: Collection[str],
    promise: Promise,
    following: int | None = None,
    seed: int = 0,
) -> tuple[ClassFinding, ...]:
    """Which classes may pass, such that few of all defects pass under any of them.

    A third of the answers, drawn at random, orders the classes by the share of defects among their
    answers; the others test the first class, the first two, and so on until a test fails.

    Args:
        answers: a random sample of all named parts, of classes that are stopped too.
        candidates: classes that the policy would let pass.
        promise: what is asked.
        following: the promise is about the share among so many defects to come; None: about the
            probability itself.
        seed: of the draw.
    """
    drawn = list(answers)
    random.Random(seed).shuffle(drawn)
    cut = int(LEARNT * len(drawn))
    order = _order(drawn[:cut], candidates)
    tested = drawn[cut:]
    defects = sum(answer.is_defect for answer in tested)
    given = Counter(answer.class_name for answer in tested)
    escaped = Counter(answer.class_name for answer in tested if answer.is_defect)
    findings, count, holds = [], 0, True
    for name in order:
        count += escaped[name]
        if following is None:
            tail = binomial_tail(count, defects, promise.escape)
        else:
            tail = finite_tail(count, defects, following, promise.escape)
        holds = holds and tail <= promise.level
        more = None
        if not holds:
            further = more_trials(count, defects, promise.escape, promise.level)
            # The further reviews are divided as these were: a part of them orders, and most of
            # them are of no defect.
            more = None if further is None else ceil(further * len(drawn) / max(1, defects))
        bound = upper_bound(count, defects, promise.level)
        threshold = 0.0 if holds else None
        findings.append(
            ClassFinding(name, threshold, given[name], escaped[name], bound, 0 if holds else more)
        )
    return tuple(findings)


def _surest_first(answers: Sequence[ReviewedAnswer], name: str) -> list[ReviewedAnswer]:
    own = [answer for answer in answers if answer.class_name == name]
    return sorted(own, key=lambda answer: -answer.confidence)


def _steps(own: Sequence[ReviewedAnswer], limit: float, level: float) -> tuple[int, ...]:
    """Numbers of the surest answers to test, few first; the confidences alone decide them.

    The first step is half of the answers, or as many as could show the limit at all.
    """
    first = max(len(own) // 2, trials_to_certify(0, limit, level))
    ends = [i for i in range(first, len(own)) if own[i - 1].confidence > own[i].confidence]
    if len(ends) > STEPS:
        ends = [ends[i * (len(ends) - 1) // (STEPS - 1)] for i in range(STEPS)]
    return tuple(ends)


def _tail(own: Sequence[ReviewedAnswer], size: int, promise: Promise) -> float:
    escapes = sum(answer.is_defect for answer in own[:size])
    return binomial_tail(escapes, size, promise.escape)


def _finding(
    own: Sequence[ReviewedAnswer],
    name: str,
    threshold: float | None,
    level: float,
    promise: Promise,
) -> ClassFinding:
    reviews, escapes = len(own), sum(answer.is_defect for answer in own)
    more = 0 if threshold is not None else more_trials(escapes, reviews, promise.escape, level)
    return ClassFinding(
        name, threshold, reviews, escapes, upper_bound(escapes, reviews, level), more
    )


def _order(learnt: Sequence[ReviewedAnswer], candidates: Collection[str]) -> list[str]:
    """The candidates, fewest defects among their answers first; ties: more answers first."""
    given = Counter(answer.class_name for answer in learnt)
    wrong = Counter(answer.class_name for answer in learnt if answer.is_defect)
    of_all = sum(wrong[name] for name in candidates)
    average = of_all / max(1, sum(given[name] for name in candidates))

    def key(name: str) -> tuple[float, int, str]:
        share = (wrong[name] + PRIOR * average) / (given[name] + PRIOR)
        return share, -given[name], name

    return sorted(candidates, key=key)
