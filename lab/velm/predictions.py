"""Score a file of named answers the way VELM does (Mokhtar et al. 2025, section 4.1).

Each figure is named for what it is. The paper prints equation (1), TP/(TP+FP+FN) averaged over
classes, as "macro accuracy", yet its table 2 holds plain accuracy per object with ``good``
counted as a class: both are given here, as ``jaccard`` and ``accuracy``.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean

from policies.review.answer_files import GOOD, AnswerFileError, read_json_object, split_key
from prompts.names import NORMAL, fold

FIGURES = ("accuracy", "macro_f1", "kappa", "jaccard", "accuracy_anomalous")
NO_CLASS = "(no class)"
"""What an answer counts for that is neither ``good`` nor a class of its object."""
Pair = tuple[str, str]
"""(true class, answered class), both as their folders are called."""
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
    predictions: Path,
    descriptions: Path,
    matching: Matching = authors_matching,
    warn: Callable[[str], None] = lambda _: None,
) -> dict[str, list[Pair]]:
    """Object -> pairs, from ``"<object>_<class>_<nnn>": "<answer>"`` and the class descriptions.

    As the authors score: a class is called like its folder, an answer counts for the class whose
    display name it is, and every other answer but ``good`` for one class more, ``NO_CLASS``. A true
    class without a description is a class of its own that no answer can be. An answer that is no
    text is left out.

    Args:
        predictions: the answers.
        descriptions: object -> class folder -> [display name, description].
        matching: brings names into the form in which they are compared.
        warn: told in a sentence what was taken in which way.

    Raises:
        AnswerFileError: not JSON of that form, or none of its objects is described.
    """
    answers, described = read_json_object(predictions), _described(descriptions, matching)
    texts = {key: answer for key, answer in answers.items() if isinstance(answer, str)}
    if absent := sorted(answers.keys() - texts.keys()):
        warn(f"answers that are no text, left out as the authors do: {_some(absent)}")
    objects = set(described) | {
        name for key in texts if (name := _of_good(key)) and not _belongs_to(key, described)
    }
    pairs: dict[str, list[Pair]] = defaultdict(list)
    foreign: list[str] = []
    for key, answer in texts.items():
        known = objects if _belongs_to(key, objects) else {key.partition("_")[0]: None}
        name, folder = split_key(key.lower(), {n.lower(): None for n in known}, predictions.name)
        called = described.get(name, {})
        meant = GOOD if matching(answer) == GOOD else called.get(matching(answer), NO_CLASS)
        if meant == NO_CLASS:
            foreign.append(f"{answer!r} ({name})")
        pairs[name].append((GOOD if folder == GOOD else matching(folder), meant))
    if not described.keys() & pairs.keys():
        names = ", ".join(sorted(pairs)) or "no predictions in it"
        raise AnswerFileError(
            f"{predictions.name}: {names}; {descriptions.name} describes "
            f"{', '.join(sorted(described)) or 'nothing'}"
        )
    for said in _without_description(pairs, described):
        warn(said)
    if foreign:
        warn(f"answers that are no class of the object, {len(foreign)}: {_some(foreign)}")
    return dict(pairs)


def _described(path: Path, matching: Matching) -> dict[str, dict[str, str]]:
    """By object the class of each display name; the last where two have the same.

    The authors fold the case of true classes and not of described ones, and so does their matching.
    """
    found = {}
    for name, classes in read_json_object(path).items():
        entries = classes.items() if isinstance(classes, dict) else ()
        found[name.lower()] = {
            matching(entry[0]): folder if matching is authors_matching else matching(folder)
            for folder, entry in entries
            if folder != NORMAL and isinstance(entry, list) and entry and isinstance(entry[0], str)
        }
    return found


def _without_description(
    pairs: Mapping[str, Sequence[Pair]], described: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    for name, answers in sorted(pairs.items()):
        known = set(described.get(name, {}).values())
        counts = Counter(truth for truth, _ in answers if truth != GOOD and truth not in known)
        for truth, count in sorted(counts.items()):
            near = get_close_matches(truth, sorted(known), 1, 0.8)
            yield (
                f"{name}: class {truth!r} ({count} pictures) has no description: it is scored as a "
                "class of its own, which no answer can be"
                + (f"; described is {near[0]!r}" if near else "")
            )


def _of_good(key: str) -> str:
    """The object of ``<object>_good_<number>``, described or not; empty for other keys."""
    name, _, folder = key.lower().rpartition("_")[0].rpartition("_")
    return name if folder == GOOD else ""


def _belongs_to(key: str, objects: Iterable[str]) -> bool:
    return any(key.lower().startswith(f"{name.lower()}_") for name in objects)


def _some(names: Iterable[str]) -> str:
    unique = sorted(set(names))
    more = f" and {len(unique) - 5} others" if len(unique) > 5 else ""
    return ", ".join(name[:80] for name in unique[:5]) + more


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
