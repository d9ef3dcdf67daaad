"""What becomes of an expert that absorbs a change of light or design from ten good parts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lab.benchmarks.absorb_figures import (
    PRINT,
    AbsorbFigures,
    AbsorbJudgement,
    DesignRow,
    LightRow,
    summaries,
)
from lab.benchmarks.changes import CHANGES, Change
from lab.benchmarks.expert import Report
from lab.datasets.folders import Dataset, Sample
from lab.metrics import image_auroc
from serving.experts.absorbing.absorb import AbsorbRefused, GoodPicture, absorb
from serving.experts.absorbing.additions import anomalies_on
from serving.experts.composed import ComposedExpert
from serving.experts.images import read_image
from serving.experts.teaching import LabelledPicture
from serving.experts.types import Image, Mask

LIGHT = ("gamma .6", "gradient .4")
_BATCH = 16
_ON_PRINT = 60
"""Synthetic anomalies made on the print."""


@dataclass(frozen=True)
class AbsorbOptions:
    """How much is tried."""

    goods: int = 10
    draws: int = 3
    changes: Sequence[str] = (*LIGHT, PRINT)
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


class _Bench:
    """An expert, the parts it is judged on, and what it says of them under each light."""

    def __init__(self, expert: ComposedExpert, parts: _Parts, options: AbsorbOptions) -> None:
        self.expert, self.parts, self.options = expert, parts, options
        self.plain = self.score(expert, lambda image: image)
        self._nothing: dict[str, _PartScores] = {}

    def score(self, expert: ComposedExpert, change: Change) -> "_PartScores":
        """Scores of all good and of all defective parts."""
        good = _scores(expert, self.parts.good_images, change)
        bad = _scores(expert, self.parts.bad_images, change)
        return _PartScores(good, bad, expert.model.calibration.threshold)

    def light(self, name: str, draw: int) -> LightRow:
        """A change of light, absorbed from the draw's good parts."""
        given, others = self.parts.draw(self.options.goods, self._rng(draw))
        change = CHANGES[name]
        if name not in self._nothing:
            self._nothing[name] = self.score(self.expert, change)
        nothing, plain = (self.judge(s, others) for s in (self._nothing[name], self.plain))
        made = _absorb(self.expert, self.parts, given, change)
        absorbed = nothing
        if made.expert is not self.expert:
            absorbed = self.judge(self.score(made.expert, change), others)
        return LightRow(
            change=name,
            draw=draw,
            nothing_done=nothing,
            absorbed=absorbed,
            auroc_lost=plain["image_auroc"] - absorbed["image_auroc"],
            how=made.how,
            seconds=made.seconds,
            cpu_seconds=made.cpu_seconds,
        )

    def design(self, draw: int) -> DesignRow:
        """A print at a place of the draw's own, absorbed from the draw's good parts."""
        rng = self._rng(draw)
        given, others = self.parts.draw(self.options.goods, rng)
        printed, expert = make_print(rng), self.expert
        nothing = self.judge(self.score(expert, printed), others)
        made = _absorb(expert, self.parts, given, printed)
        new, look = made.expert, made.look
        absorbed = self.judge(self.score(new, printed), others) if new is not expert else nothing
        prepare, some = (
            expert.model.preprocessing,
            [self.parts.good_images[i] for i in others[:120]],
        )
        plain = np.stack([prepare(image) for image in some])
        with_print = np.stack([prepare(printed(image)) for image in some])
        where = np.abs(with_print.astype(int) - plain).max(axis=(0, 3)) > 12
        odd, _, _, _ = anomalies_on(with_print, _grown(where), _ON_PRINT, draw + 17)
        same, _, _, _ = anomalies_on(plain, _grown(where), _ON_PRINT, draw + 17)
        return DesignRow(
            draw=draw,
            how=made.how,
            nothing_done=nothing,
            absorbed=absorbed,
            auroc_lost=self.judge(self.plain, others)["image_auroc"] - absorbed["image_auroc"],
            look_share=0.0 if look is None else float(look.mean()),
            print_covered=0.0 if look is None else float(look[where].mean()),
            on_print_found=_share(new, list(odd)),
            same_without_print=_share(expert, list(same)),
            seconds=made.seconds,
            cpu_seconds=made.cpu_seconds,
        )

    def judge(self, found: "_PartScores", others: Sequence[int]) -> AbsorbJudgement:
        """AUROC, false alarms among the ``others`` of the good parts, and defects found."""
        good, bad = found.good[np.array(others)], found.bad
        alarms: dict[str, list[bool]] = {}
        for i, score in zip(others, good, strict=True):
            alarms.setdefault(self.parts.good[i].part, []).append(bool(score > found.threshold))
        truth = np.repeat([False, True], [len(good), len(bad)])
        return AbsorbJudgement(
            image_auroc=image_auroc(np.concatenate([good, bad]), truth),
            false_alarms=float(np.mean([np.mean(own) for own in alarms.values()])),
            found=float((bad > found.threshold).mean()),
        )

    def _rng(self, draw: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, draw])


@dataclass(frozen=True, eq=False)
class _PartScores:
    """What an expert says of every part."""

    good: npt.NDArray[np.float64]
    bad: npt.NDArray[np.float64]
    threshold: float


@dataclass(frozen=True, eq=False)
class _Made:
    """An absorbed expert, or the one before and why it was refused."""

    expert: ComposedExpert
    how: str
    look: Mask | None
    seconds: float
    cpu_seconds: float


def measure_absorbing(
    expert: ComposedExpert, data: Dataset, options: AbsorbOptions, report: Report
) -> AbsorbFigures:
    """Each change ``options.draws`` times; then defects that are given as good."""
    good = [s for s in (*data.test, *data.left_out) if not s.anomalous]
    bad = [s for s in data.test if s.anomalous]
    images, odd = (
        [read_image(s.path, expert.bit_depth) for s in samples] for samples in (good, bad)
    )
    parts = _Parts(good, images, bad, odd)
    bench = _Bench(expert, parts, options)
    light: list[LightRow] = []
    design: list[DesignRow] = []
    total = options.draws * len(options.changes) + 1
    for name in options.changes:
        for draw in range(options.draws):
            if name == PRINT:
                design.append(bench.design(draw))
            else:
                light.append(bench.light(name, draw))
            report("absorb", len(light) + len(design), total)
    refused = _poisoned(expert, parts, options.goods)
    report("absorb", total, total)
    return AbsorbFigures(
        dataset=data.name,
        asked_rate=expert.model.calibration.asked_rate,
        goods=options.goods,
        plain=bench.judge(bench.plain, range(len(good))),
        light=light,
        design=design,
        summary=summaries(light, design),
        defects_given_as_good=refused,
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


def _absorb(expert: ComposedExpert, parts: _Parts, given: Sequence[int], change: Change) -> _Made:
    goods = [
        GoodPicture(change(parts.good_images[i]), parts.good[i].part, parts.good[i].path.name)
        for i in given
    ]
    begun, used = time.perf_counter(), time.process_time()
    new, how, look = expert, "", None
    try:
        found = absorb(expert, goods)
        new, how, look = found.expert, " and ".join(found.how) or "nothing to absorb", found.look
    except AbsorbRefused as refused:
        how = f"refused: {refused}"
    return _Made(new, how, look, time.perf_counter() - begun, time.process_time() - used)


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
