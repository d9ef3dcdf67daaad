"""Which photographs share a part, where nobody said so: by file names that the pictures confirm.

Photographs of one board or batch are alike in light, grain and colour. Held out one by one they
vouch for each other, and the threshold is too low by what boards differ. A file name often begins
with what the part is called (``board07_crop3.png``), and often with something else (a date, an
exposure). So names propose groups and pictures confirm them: the members of a group must be more
alike than chance, which a permutation test decides (Fisher 1935). Without both nothing is guessed.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from serving.experts.calibration import Scores
from serving.experts.types import Floats, Image, Rows

FEWEST_GROUPS = 20
"""Fewer groups cannot vouch for a rate of 5 %, so that they are named and not used."""
_PERMUTATIONS = 199
_SIGNIFICANT = 0.01
_SIDE = 8
"""Height and width of the thumbnail whose brightness and colour are compared."""


@dataclass(frozen=True)
class GuessedGroups:
    """Groups of photographs that names propose and pictures confirm."""

    names: tuple[str, ...]
    """The group of each photograph."""

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(set(self.names))

    @property
    def usable(self) -> bool:
        """Whether they are enough to be held out by."""
        return self.count >= FEWEST_GROUPS

    def told(self) -> str:
        """What to say of them."""
        example = f"{self.count} groups, such as {self.names[0]!r}"
        if self.usable:
            return (
                f"grouped by file names: {example}; photographs of a group are alike and are held "
                "out together. Where these are no parts, say which are by a CSV (option groups)"
            )
        return (
            f"file names tell {example}, and photographs of a group are alike; they are too few "
            f"to be held out by (at least {FEWEST_GROUPS}), so each photograph counts as a part of "
            "its own and the threshold may be too low: say which show one part by a CSV (option "
            "groups)"
        )


def guess_groups(files: Sequence[str], pixels: Image) -> GuessedGroups | None:
    """The coarsest groups by the beginning of a name whose members are more alike than chance.

    Finer groups are tried first, and coarser ones on their means: a lot counts where the parts of
    a lot are alike, not only the photographs of a part. Groups that are too few to be held out by
    do not replace finer ones that are enough. None where nothing is alike.

    Args:
        files: names of N photographs, folders of their own included.
        pixels: uint8 (N, H, W, 3).
    """
    looks, found = _describe(pixels), None
    units: Rows = np.arange(len(files))
    for names in _proposals(files):
        _, groups = np.unique(np.array(names), return_inverse=True)
        if _alike(looks, units, groups):
            coarser, units = GuessedGroups(tuple(names)), groups
            if coarser.usable or found is None or not found.usable:
                found = coarser
    return found


def _proposals(files: Sequence[str]) -> list[list[str]]:
    """Ways to group the names by their beginning, finest first; most photographs have company."""
    split = [re.findall(r"\d+|[^\W\d_]+|[\W_]+", f.rsplit(".", 1)[0]) for f in files]
    found: dict[tuple[int, ...], list[str]] = {}
    for length in range(max(map(len, split)), 0, -1):
        names = ["".join(words[:length]).rstrip("_-. /") for words in split]
        sizes = Counter(names)
        accompanied = sum(size for size in sizes.values() if size > 1)
        if len(sizes) > 1 and 2 * accompanied > len(names):
            _, index = np.unique(np.array(names), return_inverse=True)
            found.setdefault(tuple(index.tolist()), names)
    return list(found.values())


def _alike(looks: Floats, units: Rows, groups: Rows) -> bool:
    """Whether units (parts, photographs) of one group are more alike than units drawn by chance."""
    _, first, index = np.unique(units, return_index=True, return_inverse=True)
    sizes = np.bincount(index)
    means = np.stack([np.bincount(index, column) / sizes for column in looks.T], axis=1)
    group_of = groups[first]
    if len(set(group_of.tolist())) == len(group_of):
        return False
    rng = np.random.default_rng(0)
    seen = _within(means, group_of)
    chance = [_within(means, rng.permutation(group_of)) for _ in range(_PERMUTATIONS)]
    return (1 + sum(value <= seen for value in chance)) / (1 + _PERMUTATIONS) <= _SIGNIFICANT


def _within(means: Scores, groups: Rows) -> float:
    """Sum of squares about the groups' means."""
    sizes = np.maximum(np.bincount(groups), 1)
    total = 0.0
    for column in means.T:
        middle = np.bincount(groups, column) / sizes
        total += float(np.square(column - middle[groups]).sum())
    return total


def _describe(pixels: Image) -> Floats:
    """(N, 9) mean and spread of each colour, grain, and brightness from left to right and down."""
    rows = []
    for image in pixels:
        small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        grey = small.mean(axis=2)
        ramp = np.linspace(-1, 1, _SIDE)
        grain = float(cv2.Laplacian(image, cv2.CV_32F).std())
        means, spreads = small.mean(axis=(0, 1)), small.std(axis=(0, 1))
        slopes = [(grey.mean(axis=0) * ramp).mean(), (grey.mean(axis=1) * ramp).mean()]
        rows.append([*means, *spreads, np.log1p(grain), *slopes])
    found = np.array(rows, np.float32)
    return np.asarray((found - found.mean(axis=0)) / (found.std(axis=0) + 1e-6), np.float32)
