"""What a simulated line plays: photographs that train, that teach, that arrive as parts. Pure."""

import itertools
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.datasets.folders import GOOD, Sample
from streams.errors import AndonError

MOST_EXEMPLARS = 5
"""Labelled examples per class that the local classifier is taught."""
EXEMPLAR_SHARE = 0.34
"""No more than this share of a class's parts teaches; the others are played."""


class LinePlanError(AndonError):
    """The folder does not hold what a line needs."""


@dataclass(frozen=True)
class PlayedPart:
    """One part that arrives, and the photograph that its camera takes."""

    part_id: str
    photograph: Sample
    product: str = ""
    """Another product than the plan's."""
    others: tuple[Sample, ...] = ()
    """What the other shots of the part show, where the station takes several."""
    side: int = 0
    """Which of the shots shows ``photograph``, from 0."""

    @property
    def photographs(self) -> tuple[Sample, ...]:
        """What each shot shows, in order."""
        return *self.others[: self.side], self.photograph, *self.others[self.side :]


@dataclass(frozen=True)
class LinePlan:
    """Everything that a run needs to know of its pictures."""

    product: str
    train: tuple[Sample, ...]
    exemplars: Mapping[str, tuple[Sample, ...]]
    parts: tuple[PlayedPart, ...]

    def playing(self, photographs: Iterable[Sample]) -> "LinePlan":
        """The same plan, with a part for each of these photographs."""
        numbered = enumerate(photographs, start=1)
        parts = tuple(PlayedPart(f"{self.product}-{i:06d}", p) for i, p in numbered)
        return replace(self, parts=parts)


def make_plan(
    product: str,
    train: Sequence[Sample],
    test: Sequence[Sample],
    taught: Collection[str],
    most_parts: int | None,
    seed: int = 7,
) -> LinePlan:
    """Split ``test`` by part into exemplars of the ``taught`` classes and arriving parts.

    Parts arrive in a seeded random order. Fewer than asked for are drawn so that every class
    keeps its share (at least one part each).

    Raises:
        LinePlanError: no training image, or no part to play.
    """
    if not train:
        raise LinePlanError(
            f"{product}: no normal images to train on; expected files in train/good"
        )
    rng = random.Random(seed)
    exemplars: dict[str, tuple[Sample, ...]] = {}
    played: list[Sample] = []
    for label, photographs in sorted(_by(test, "label").items()):
        if label in taught and label != GOOD:
            exemplars[label], rest = _take_exemplars(photographs, rng)
            played += rest
        else:
            played += photographs
    if not played:
        raise LinePlanError(f"{product}: no parts to play; expected files in test/<class>")
    if most_parts is not None and most_parts < len(played):
        played = _thin(played, most_parts, rng)
    rng.shuffle(played)
    return LinePlan(product, tuple(train), exemplars, ()).playing(played)


def with_sides(plan: LinePlan, shots: int, seed: int = 7) -> LinePlan:
    """The same parts with ``shots`` photographs each: one side as planned, the others good.

    Raises:
        LinePlanError: no part of the plan is good.
    """
    if shots == 1:
        return plan
    good = [part.photograph for part in plan.parts if part.photograph.label == GOOD]
    if not good:
        raise LinePlanError(f"{plan.product}: no good part to show on the other sides")
    rng = random.Random(seed)
    parts = (
        replace(part, others=tuple(rng.choices(good, k=shots - 1)), side=rng.randrange(shots))
        for part in plan.parts
    )
    return replace(plan, parts=tuple(parts))


def cycle(plan: LinePlan, count: int) -> LinePlan:
    """The same pictures again and again until ``count`` parts have arrived."""
    return plan.playing([plan.parts[i % len(plan.parts)].photograph for i in range(count)])


def mixed(plan: LinePlan, count: int, anomalous: float) -> LinePlan:
    """``count`` parts of the plan's pictures, a share ``anomalous`` in [0, 1] of them not good.

    The anomalous parts are spread evenly; where the plan has none of one kind the other fills in.
    """
    photographs = [part.photograph for part in plan.parts]
    good = [p for p in photographs if p.label == GOOD] or photographs
    odd = [p for p in photographs if p.label != GOOD] or good
    next_good, next_odd = itertools.cycle(good), itertools.cycle(odd)
    return plan.playing(
        [
            next(next_odd if int((i + 1) * anomalous) > int(i * anomalous) else next_good)
            for i in range(count)
        ]
    )


def _by(photographs: Sequence[Sample], field: str) -> dict[str, list[Sample]]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for photograph in photographs:
        groups[getattr(photograph, field)].append(photograph)
    return groups


def _take_exemplars(
    photographs: Sequence[Sample], rng: random.Random
) -> tuple[tuple[Sample, ...], list[Sample]]:
    """Whole groups teach: no part is in both; one picture of each teaches."""
    groups = _by(photographs, "part")
    names = sorted(groups)
    rng.shuffle(names)
    most = min(MOST_EXEMPLARS, int(len(names) * EXEMPLAR_SHARE))
    teaching = names[:most]
    exemplars = tuple(rng.choice(groups[name]) for name in teaching)
    rest = [p for p in photographs if p.part not in teaching]
    return exemplars, rest


def _thin(photographs: Sequence[Sample], count: int, rng: random.Random) -> list[Sample]:
    """``count`` photographs, classes in proportion, at least one each where count allows."""
    groups = _by(photographs, "label")
    wanted = {label: max(1, count * len(g) // len(photographs)) for label, g in groups.items()}
    while sum(wanted.values()) < count:
        label = max(wanted, key=lambda name: len(groups[name]) / (wanted[name] + 1))
        wanted[label] += 1
    while sum(wanted.values()) > count:
        wanted[max(wanted, key=lambda name: wanted[name])] -= 1
    return [p for label, g in groups.items() for p in rng.sample(g, wanted[label])]
