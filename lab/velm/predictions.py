"""Score a file of named answers the way VELM does (Mokhtar et al. 2025, section 4.1).

Each figure is named for what it is. The paper prints equation (1), TP/(TP+FP+FN) averaged over
classes, as "macro accuracy", yet its table 2 holds plain accuracy per object with ``good``
counted as a class: both are given here, as ``jaccard`` and ``accuracy``.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from policies.review.answer_files import GOOD, AnswerFileError, read_json_object, split_key
from prompts.names import fold

FIGURES = ("accuracy", "macro_f1", "kappa", "jaccard", "accuracy_anomalous")
Pair = tuple[str, str]
"""(true display name, answer), both already normalised."""
Matching = Callable[[str], str]


@dataclass(frozen=True)
class Scores:
    """Per object and in the mean over objects, in percent."""

    mean: dict[str, float]
    objects: dict[str, dict[str, float]]
    images: dict[str, int]
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals of the means: images resampled within their object."""

    def as_json(self) -> dict[str, object]:
        """``{"mean": ..., "objects": {name: ...}}``; values in percent."""
        return {
            "mean": self.mean,
            "objects": self.objects,
            "intervals": {name: list(span) for name, span in self.intervals.items()},
        }


def authors_matching(name: str) -> str:
    """What the released evaluation does: fold case and nothing else."""
    return name.lower()


our_matching: Matching = fold
"""Casefold, white space and final punctuation, as the classifier itself matches."""


def read_answers(
    predictions: Path, descriptions: Path, matching: Matching = authors_matching
) -> dict[str, list[Pair]]:
    """Object -> pairs, from ``"<object>_<class>_<nnn>": "<answer>"`` and the class descriptions.

    Raises:
        AnswerFileError: not JSON of that form, or an object or class without a description.
    """
    described = read_json_object(descriptions)
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for key, answer in read_json_object(predictions).items():
        if not isinstance(answer, str):
            raise AnswerFileError(f"{predictions.name}: the answer of {key!r} is not a text")
        name, folder = split_key(key, described, predictions.name)
        classes = described[name]
        entry = [GOOD] if folder == GOOD else isinstance(classes, dict) and classes.get(folder)
        if not isinstance(entry, list) or not entry or not isinstance(entry[0], str):
            raise AnswerFileError(
                f"{descriptions.name}: no [display name, description] for class {folder!r} of "
                f"{key!r}"
            )
        pairs[name].append((matching(entry[0]), matching(answer)))
    if not pairs:
        raise AnswerFileError(f"{predictions.name}: no predictions in it")
    return dict(pairs)


def score(pairs: Mapping[str, Sequence[Pair]], resamples: int = 0, seed: int = 0) -> Scores:
    """All figures; ``resamples`` bootstrap rounds for the intervals (0: none)."""
    objects = {name: _figures(answers) for name, answers in sorted(pairs.items())}
    return Scores(
        _mean(objects.values()),
        objects,
        {name: len(answers) for name, answers in sorted(pairs.items())},
        _bootstrap(pairs, resamples, seed) if resamples else {},
    )


def _figures(pairs: Sequence[Pair]) -> dict[str, float]:
    """From counts alone: a bootstrap takes these figures 14,000 times, which scikit-learn's
    functions of the same names (the tests compare them) would need minutes for.
    """
    counts = Counter(pairs)
    total = len(pairs)
    truths = Counter(truth for truth, _ in pairs)
    answers = Counter(answer for _, answer in pairs)
    hits = {name: counts[(name, name)] for name in truths | answers}
    right = sum(hits.values())
    chance = sum(truths[name] * answers[name] for name in hits) / total**2
    odd = total - truths[GOOD]
    return {
        "accuracy": 100 * right / total,
        "macro_f1": 100 * fmean(2 * hits[n] / (truths[n] + answers[n]) for n in hits),
        "kappa": 100 * ((right / total - chance) / (1 - chance) if chance < 1 else 1.0),
        "jaccard": 100 * fmean(hits[n] / (truths[n] + answers[n] - hits[n]) for n in truths),
        "accuracy_anomalous": 100 * (right - hits.get(GOOD, 0)) / odd if odd else 0.0,
    }


def _mean(figures: Collection[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(f[name] for f in figures) for name in FIGURES}


def _bootstrap(
    pairs: Mapping[str, Sequence[Pair]], resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    rng = random.Random(seed)
    rounds = [
        _mean([_figures(rng.choices(answers, k=len(answers))) for answers in pairs.values()])
        for _ in range(resamples)
    ]
    return {name: interval([figures[name] for figures in rounds]) for name in FIGURES}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % quantile of resampled figures.

    >>> interval(range(1000))
    (25, 974)
    """
    ordered = sorted(values)
    return ordered[int(0.025 * len(ordered))], ordered[int(0.975 * (len(ordered) - 1))]
