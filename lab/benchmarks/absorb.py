"""What becomes of an expert that absorbs a change of light or design from ten good parts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from lab.benchmarks.changes import CHANGES, Change
from lab.benchmarks.expert import Report
from lab.datasets.folders import Dataset, Sample
from lab.metrics import image_auroc
from serving.experts.absorbing.absorb import Absorbed, AbsorbRefused, GoodPicture, absorb
from serving.experts.absorbing.additions import anomalies_on
from serving.experts.composed import ComposedExpert
from serving.experts.images import read_image
from serving.experts.teaching import LabelledPicture
from serving.experts.types import Image, Mask

LIGHT = ("gamma .6", "gradient .4")
_BATCH = 16
_ON_PRINT = 60
"""Synthetic anomalies made on the print."""


class AbsorbJudgement(TypedDict):
    """An expert on good and defective parts."""

    image_auroc: float
    false_alarms: float
    """Each part weighs one."""
    found: float


class LightRow(TypedDict):
    """One change of light, absorbed once."""

    change: str
    draw: int
    nothing_done: AbsorbJudgement
    absorbed: AbsorbJudgement
    auroc_lost: float
    """Against the expert before the change, on the same parts without it."""
    how: str
    seconds: float


class DesignRow(TypedDict):
    """A print on every part, absorbed once."""

    draw: int
    how: str
    nothing_done: AbsorbJudgement
    absorbed: AbsorbJudgement
    look_share: float
    print_covered: float
    """Share of the print that the look takes in."""
    on_print_found: float
    """Share found of synthetic anomalies on the print, by the expert that absorbed it."""
    same_without_print: float
    """Share found of the same anomalies on parts without a print, by the expert before."""
    seconds: float


class AbsorbFigures(TypedDict):
    """What the benchmark prints."""

    dataset: str
    asked_rate: float
    goods: int
    plain: AbsorbJudgement
    light: list[LightRow]
    design: list[DesignRow]
    defects_given_as_good: str
    """What absorbing ten defective parts of one class answers, other defects being exemplars."""


@dataclass(frozen=True)
class AbsorbOptions:
    """How much is tried."""

    goods: int = 10
    draws: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Parts:
    """Photographs that training has not seen."""

    good: Sequence[Sample]
    good_images: Sequence[Image]
    bad: Sequence[Sample]
    bad_images: Sequence[Image]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """One photograph of each of ``count`` parts, and all of the other parts."""
        parts = sorted({s.part for s in self.good})
        chosen = [parts[i] for i in rng.permutation(len(parts))[:count]]
        given = [
            int(rng.choice([i for i, s in enumerate(self.good) if s.part == part]))
            for part in chosen
        ]
        return given, [i for i, s in enumerate(self.good) if s.part not in set(chosen)]


def measure_absorbing(
    expert: ComposedExpert, data: Dataset, options: AbsorbOptions, report: Report
) -> AbsorbFigures:
    """Each change of light and a print, ``options.draws`` times; defects that are given as good."""
    good = [s for s in (*data.test, *data.left_out) if not s.anomalous]
    bad = [s for s in data.test if s.anomalous]
    parts = _Parts(good, [read_image(s.path) for s in good], bad, [read_image(s.path) for s in bad])
    light: list[LightRow] = []
    design: list[DesignRow] = []
    total = options.draws * (len(LIGHT) + 1) + 1
    for draw in range(options.draws):
        for name in LIGHT:
            rng = np.random.default_rng([options.seed, draw])
            light.append(_light(expert, parts, name, draw, options.goods, rng))
            report("absorb", len(light) + len(design), total)
        rng = np.random.default_rng([options.seed, draw])
        design.append(_design(expert, parts, draw, options.goods, rng))
        report("absorb", len(light) + len(design), total)
    return AbsorbFigures(
        dataset=data.name,
        asked_rate=expert.model.calibration.asked_rate,
        goods=options.goods,
        plain=_judge(expert, parts, range(len(good)), lambda image: image),
        light=light,
        design=design,
        defects_given_as_good=_poisoned(expert, parts, options.goods),
    )


def _light(
    expert: ComposedExpert,
    parts: _Parts,
    name: str,
    draw: int,
    count: int,
    rng: np.random.Generator,
) -> LightRow:
    change = CHANGES[name]
    given, others = parts.draw(count, rng)
    plain = _judge(expert, parts, others, lambda image: image)
    nothing = _judge(expert, parts, others, change)
    begun = time.perf_counter()
    new, how = _absorbed(expert, parts, given, change)
    seconds = time.perf_counter() - begun
    absorbed = _judge(new, parts, others, change) if new is not expert else nothing
    return LightRow(
        change=name,
        draw=draw,
        nothing_done=nothing,
        absorbed=absorbed,
        auroc_lost=plain["image_auroc"] - absorbed["image_auroc"],
        how=how,
        seconds=seconds,
    )


def _design(
    expert: ComposedExpert, parts: _Parts, draw: int, count: int, rng: np.random.Generator
) -> DesignRow:
    given, others = parts.draw(count, rng)
    printed = make_print(rng)
    nothing = _judge(expert, parts, others, printed)
    begun = time.perf_counter()
    new, how, look = _absorb(expert, parts, given, printed)
    seconds = time.perf_counter() - begun
    prepare = expert.model.preprocessing
    plain = np.stack([prepare(parts.good_images[i]) for i in others[:120]])
    with_print = np.stack([prepare(printed(parts.good_images[i])) for i in others[:120]])
    where = np.abs(with_print.astype(int) - plain).max(axis=(0, 3)) > 12
    odd, _, _, _ = anomalies_on(with_print, _grown(where), _ON_PRINT, draw + 17)
    same, _, _, _ = anomalies_on(plain, _grown(where), _ON_PRINT, draw + 17)
    return DesignRow(
        draw=draw,
        how=how,
        nothing_done=nothing,
        absorbed=_judge(new, parts, others, printed) if new is not expert else nothing,
        look_share=0.0 if look is None else float(look.mean()),
        print_covered=0.0 if look is None else float(look[where].mean()),
        on_print_found=_share(new, list(odd)),
        same_without_print=_share(expert, list(same)),
        seconds=seconds,
    )


def make_print(rng: np.random.Generator) -> Change:
    """A printed ring with a bar through it, a fifth of the picture wide, a little shaky."""
    x, y = rng.uniform(0.3, 0.7, 2)
    shaky = np.random.default_rng(int(rng.integers(1 << 31)))

    def change(image: Image) -> Image:
        height, width = image.shape[:2]
        side = min(height, width)
        ink = np.zeros((height, width), np.uint8)
        jitter = shaky.uniform(-0.006, 0.006, 2) * side
        centre = (round(x * width + jitter[0]), round(y * height + jitter[1]))
        radius, thick = round(0.1 * side), max(2, round(0.018 * side))
        cv2.circle(ink, centre, radius, 255, thick, cv2.LINE_AA)
        cv2.line(ink, (centre[0] - radius, centre[1]), (centre[0] + radius, centre[1]), 255, thick)
        strength = ink[..., None].astype(np.float32) / 255 * shaky.uniform(0.6, 0.75)
        return np.asarray(np.round(image * (1 - strength) + 30 * strength), np.uint8)

    return change


def _poisoned(expert: ComposedExpert, parts: _Parts, count: int) -> str:
    """Ten parts of the most frequent class given as good; the others are exemplars."""
    labels = [s.label for s in parts.bad]
    most = max(sorted(set(labels)), key=labels.count)
    own = [i for i, label in enumerate(labels) if label == most]
    others = [i for i in range(len(labels)) if i not in own[:count]][:60]
    exemplars = [
        LabelledPicture(parts.bad_images[i], labels[i], None, parts.bad[i].part) for i in others
    ]
    goods = [GoodPicture(parts.bad_images[i], "", parts.bad[i].path.name) for i in own[:count]]
    try:
        found = absorb(expert, goods, exemplars)
    except AbsorbRefused as refused:
        return f"refused: {refused}"
    return f"accepted: {' and '.join(found.how) or 'nothing to absorb'}"


def _absorbed(
    expert: ComposedExpert, parts: _Parts, given: Sequence[int], change: Change
) -> tuple[ComposedExpert, str]:
    new, how, _ = _absorb(expert, parts, given, change)
    return new, how


def _absorb(
    expert: ComposedExpert, parts: _Parts, given: Sequence[int], change: Change
) -> tuple[ComposedExpert, str, Mask | None]:
    goods = [
        GoodPicture(change(parts.good_images[i]), parts.good[i].part, parts.good[i].path.name)
        for i in given
    ]
    try:
        found: Absorbed = absorb(expert, goods)
    except AbsorbRefused as refused:
        return expert, f"refused: {refused}", None
    return found.expert, " and ".join(found.how) or "nothing to absorb", found.look


def _judge(
    expert: ComposedExpert, parts: _Parts, others: Sequence[int], change: Change
) -> AbsorbJudgement:
    good = _scores(expert, [parts.good_images[i] for i in others], change)
    bad = _scores(expert, parts.bad_images, change)
    threshold = expert.model.calibration.threshold
    truth = np.repeat([False, True], [len(good), len(bad)])
    alarms: dict[str, list[bool]] = {}
    for i, score in zip(others, good, strict=True):
        alarms.setdefault(parts.good[i].part, []).append(bool(score > threshold))
    return AbsorbJudgement(
        image_auroc=image_auroc(np.concatenate([good, bad]), truth),
        false_alarms=float(np.mean([np.mean(own) for own in alarms.values()])),
        found=float((bad > threshold).mean()),
    )


def _scores(
    expert: ComposedExpert, images: Sequence[Image], change: Callable[[Image], Image]
) -> npt.NDArray[np.float64]:
    found: list[float] = []
    for start in range(0, len(images), _BATCH):
        part = [change(image) for image in images[start : start + _BATCH]]
        found += [s.score for s in expert.score(part, maps=False)]
    return np.array(found)


def _share(expert: ComposedExpert, images: Sequence[Image]) -> float:
    scores = _scores(expert, images, lambda image: image)
    return float((scores > expert.model.calibration.threshold).mean()) if len(scores) else 0.0


def _grown(place: Mask) -> Mask:
    return np.asarray(cv2.dilate(place.astype(np.uint8), np.ones((9, 9), np.uint8)), bool)
