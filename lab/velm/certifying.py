"""Is a certificate kept? Half of the released answers certifies, the other half is watched.

For every split the negligible classes of each object are drawn anew by the rule of the paper's
Table 4, so that the splits run over all designations.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lab.velm.predictions import Pair
from lab.velm.severity import negligible_of
from policies.review.answer_files import GOOD
from policies.review.certify import (
    Promise,
    ReviewedAnswer,
    certify_each,
    certify_together,
)


@dataclass(frozen=True)
class Named:
    """A part that the expert found odd: its object with its class, and with what it was called."""

    truth: tuple[str, str]
    answer: tuple[str, str]


@dataclass(frozen=True)
class Watched:
    """What happened to the watched halves, in the mean over the splits; shares of 1."""

    exceeded: float
    """Splits in which more than the promised share of the defects passed."""
    escapes: float
    """Defects that passed."""
    negligible_passing: float
    """Negligible parts that passed."""
    wrong_of_passing: float
    """Defects among the parts that passed."""
    classes: float
    """Classes that were let pass."""


@dataclass(frozen=True)
class Kept:
    """One promised share: parts pass by certified classes, and as the answers say."""

    escape: float
    splits: int
    certified: Watched
    raw: Watched
    single_classes: float
    """Classes in the mean whose own passing parts alone could be certified."""


def watch_halves(
    pairs: Mapping[str, Sequence[Pair]], promise: Promise, splits: int = 200, seed: int = 0
) -> Kept:
    """Certify on random halves of the named parts, all objects together, and watch the others.

    Args:
        pairs: true class and answer by object; parts answered ``good`` were never named.
        promise: asked of the defects of the watched half.
        splits: random halves, each with its own negligible classes.
        seed: of the draws.
    """
    parts = [
        Named((name, truth), (name, answer))
        for name, answers in sorted(pairs.items())
        for truth, answer in answers
        if GOOD not in (truth, answer)
    ]
    rng = random.Random(seed)
    certified, raw, single = [], [], []
    for number in range(splits):
        negligible = _designation(pairs, rng)
        drawn = rng.sample(parts, len(parts))
        half = len(drawn) // 2
        reviewed = [_reviewed(part, negligible) for part in drawn[:half]]
        names = [_key(name) for name in sorted(negligible)]
        as_many = sum(answer.is_defect for answer in reviewed)
        found = certify_together(reviewed, names, promise, following=as_many, seed=number)
        passing = {finding.class_name for finding in found if finding.certified}
        certified.append(_watch(drawn[half:], negligible, passing, promise))
        raw.append(_watch(drawn[half:], negligible, set(names), promise))
        single.append(sum(f.certified for f in certify_each(reviewed, names, promise)))
    return Kept(promise.escape, splits, _mean(certified), _mean(raw), fmean(single))


def _designation(
    pairs: Mapping[str, Sequence[Pair]], rng: random.Random
) -> frozenset[tuple[str, str]]:
    negligible: set[tuple[str, str]] = set()
    for name, answers in sorted(pairs.items()):
        classes = sorted({truth for truth, _ in answers} - {GOOD})
        drawn = rng.sample(classes, negligible_of(len(classes)))
        negligible.update((name, chosen) for chosen in drawn)
    return frozenset(negligible)


def _reviewed(part: Named, negligible: Collection[tuple[str, str]]) -> ReviewedAnswer:
    return ReviewedAnswer(_key(part.answer), 1.0, part.truth not in negligible)


def _key(name: tuple[str, str]) -> str:
    return "/".join(name)


def _watch(
    parts: Sequence[Named],
    negligible: Collection[tuple[str, str]],
    passing: Collection[str],
    promise: Promise,
) -> Watched:
    defects = [_key(p.answer) in passing for p in parts if p.truth not in negligible]
    harmless = [_key(p.answer) in passing for p in parts if p.truth in negligible]
    passed = sum(defects) + sum(harmless)
    escapes = fmean(defects)
    return Watched(
        exceeded=float(escapes > promise.escape),
        escapes=escapes,
        negligible_passing=fmean(harmless),
        wrong_of_passing=sum(defects) / passed if passed else 0.0,
        classes=len(passing),
    )


def _mean(watched: Sequence[Watched]) -> Watched:
    return Watched(
        exceeded=fmean(w.exceeded for w in watched),
        escapes=fmean(w.escapes for w in watched),
        negligible_passing=fmean(w.negligible_passing for w in watched),
        wrong_of_passing=fmean(w.wrong_of_passing for w in watched),
        classes=fmean(w.classes for w in watched),
    )
