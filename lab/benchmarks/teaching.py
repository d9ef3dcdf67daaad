"""What teaching an expert gains: several draws of exemplars, on parts that it never saw.

Labels teach and measure; every threshold is the artifact's own. The parts of the exemplars are out
of the figures, for the untaught expert as well.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.datasets.folders import Dataset, DatasetError, Sample
from lab.datasets.masks import read_mask
from lab.metrics import image_auroc
from serving.experts.composed import ComposedExpert
from serving.experts.images import read_image
from serving.experts.model import TrainedModel
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture, Teacher
from serving.experts.tradeoff import share_by_part
from serving.experts.training import TrainOptions, train

_FRAMES = 20
"""Frames of a round of ``measure_cost``."""


@dataclass(frozen=True)
class TeachingOptions:
    """How exemplars are drawn."""

    exemplars: int = 5
    """Labelled parts of each class, one photograph of each; one part at least is left to find."""
    draws: int = 20
    redraws: int = 0
    """Training sets drawn anew by part, as many parts unseen as the data set's own test has;
    0 takes the data set's own split. The draws are shared among them."""
    leave_out: bool = False
    """Teach all classes but one in turn, and measure on that one."""
    seed: int = 0
    rounds: int = 9
    """Rounds in which the CPU that a frame takes is measured."""


@dataclass(frozen=True, eq=False)
class Split:
    """Normals that train, and what is judged."""

    train: tuple[Sample, ...]
    judged: tuple[Sample, ...]


def make_splits(data: Dataset, options: TeachingOptions) -> list[Split]:
    """The data set's own split, or as many new ones as asked for.

    Raises:
        DatasetError: the test holds no anomaly or no normal picture.
    """
    odd = tuple(s for s in data.test if s.anomalous)
    good = tuple(s for s in data.test if not s.anomalous)
    if not odd or not good:
        raise DatasetError(f"{data.name}: its test needs normal and anomalous pictures")
    if not options.redraws:
        return [Split(data.train, (*good, *odd))]
    every = (*data.train, *good, *data.left_out)
    parts, count = sorted({s.part for s in every}), len({s.part for s in good})
    splits = []
    for turn in range(options.redraws):
        order = np.random.default_rng([options.seed, 100 + turn]).permutation(parts)
        unseen = set(order[:count])
        splits.append(
            Split(
                tuple(s for s in every if s.part not in unseen),
                (*(s for s in every if s.part in unseen), *odd),
            )
        )
    return splits


def draw_exemplars(
    samples: Sequence[Sample], count: int, seed: int, without: str | None = None
) -> list[Sample]:
    """One photograph of each of ``count`` parts of every class; a part of each class is kept."""
    rng = np.random.default_rng(seed)
    odd = [s for s in samples if s.anomalous and s.label != without]
    drawn = []
    for label in sorted({s.label for s in odd}):
        parts = sorted({s.part for s in odd if s.label == label})
        for part in rng.permutation(parts)[: min(count, len(parts) - 1)]:
            own = [s for s in odd if s.label == label and s.part == part]
            drawn.append(own[int(rng.integers(len(own)))])
    return drawn


def measure_teaching(
    data: Dataset, train_options: TrainOptions, options: TeachingOptions, report: Progress
) -> dict[str, Any]:
    """Figures of every draw, their means, and what a frame costs more."""
    rows: list[dict[str, Any]] = []
    splits = make_splits(data, options)
    draws = -(-options.draws // len(splits))
    cost: dict[str, float] = {}
    for number, split in enumerate(splits):
        told = partial(_told, report, f"{number + 1}/{len(splits)}")
        expert = train(
            "benchmark", [s.path for s in split.train], train_options, _groups(split), told
        )
        assert isinstance(expert, ComposedExpert)
        bench = _Bench(Teacher(expert, told), split, told)
        for turn, taught, without in bench.draws(options, draws, number * draws):
            rows.append({"split": number, "draw": turn, **bench.row(taught, without)})
        cost = measure_cost(expert, bench.last, bench.pictures(_FRAMES), options.rounds)
    return {
        "dataset": data.name,
        "splits": len(splits),
        "asked_rate": train_options.false_alarm_rate,
        "exemplars": options.exemplars,
        "mean": _means(rows),
        "left_out": _left_out(rows) if options.leave_out else None,
        "cost": cost,
        "draws": rows,
    }


class _Bench:
    """A trained expert and the photographs that judge what it was taught."""

    def __init__(self, teacher: Teacher, split: Split, report: Progress) -> None:
        self.teacher, self.samples, self._report = teacher, split.judged, report
        self._seen = []
        for i, sample in enumerate(self.samples):
            image = self._read(sample)
            picture = LabelledPicture(image, sample.label, None, sample.part)
            self._seen.append(teacher.see(picture))
            report("judge", i + 1, len(self.samples))
        self._labels = np.array([s.label for s in self.samples])
        self._parts = np.array([s.part for s in self.samples])
        self._odd = np.array([s.anomalous for s in self.samples])
        self._before = self._scores(teacher.untaught.model)
        self.last: ComposedExpert = teacher.untaught
        self._taught_parts: set[str] = set()

    def draws(
        self, options: TeachingOptions, count: int, first: int
    ) -> Iterator[tuple[int, ComposedExpert, str | None]]:
        """Taught experts with the class that was left out."""
        classes = sorted(set(self._labels[self._odd])) if options.leave_out else [None]
        for turn in range(first, first + count):
            for without in classes:
                seed = options.seed + turn
                chosen = draw_exemplars(self.samples, options.exemplars, seed, without)
                self._taught_parts = {s.part for s in chosen}
                self.last = self.teacher.teach([self._picture(s) for s in chosen])
                yield turn, self.last, without
            self._report("draws", turn - first + 1, count)

    def row(self, taught: ComposedExpert, without: str | None) -> dict[str, Any]:
        """Figures before and after, on parts that taught nothing."""
        kept = ~(self._odd & np.isin(self._parts, sorted(self._taught_parts)))
        if without is not None:
            kept &= ~self._odd | (self._labels == without)
        after = self._scores(taught.model)
        assert taught.model.taught is not None
        return {
            "left_out": without,
            "role": taught.model.taught.role,
            "untaught": self._figures(self._before, self.teacher.untaught.model, kept),
            "taught": self._figures(after, taught.model, kept),
        }

    def pictures(self, count: int) -> list[npt.NDArray[np.uint8]]:
        """Some of the photographs, good and odd."""
        step = max(1, len(self.samples) // count)
        return [self._read(s) for s in self.samples[::step][:count]]

    def _read(self, sample: Sample) -> npt.NDArray[np.uint8]:
        return read_image(sample.path, self.teacher.untaught.bit_depth)

    def _scores(self, model: Any) -> npt.NDArray[np.float64]:
        return np.array([seen.score(model) for seen in self._seen])

    def _figures(
        self, scores: npt.NDArray[np.float64], model: TrainedModel, kept: npt.NDArray[np.bool_]
    ) -> dict[str, Any]:
        flagged, odd = scores > model.calibration.threshold, self._odd & kept
        good = ~self._odd
        said = model.trained.get("taught", model.trained["sensitivity"])
        return {
            "auroc": image_auroc(scores[odd | good], self._odd[odd | good]),
            "found": float(flagged[odd].mean()),
            "false_alarms": self._false_alarms(flagged),
            "by_rate": {
                f"{row['asked_rate']:g}": {
                    "found": float((scores[odd] > row["threshold"]).mean()),
                    "false_alarms": self._false_alarms(scores > row["threshold"]),
                }
                for row in said["at_rates"]
            },
            "by_class": {
                str(c): float(flagged[odd & (self._labels == c)].mean())
                for c in np.unique(self._labels[odd])
            },
        }

    def _false_alarms(self, flagged: npt.NDArray[np.bool_]) -> float:
        good = ~self._odd
        return share_by_part(flagged[good], self._parts[good])

    def _picture(self, sample: Sample) -> LabelledPicture:
        image = self._read(sample)
        mask = None if sample.mask is None else read_mask(sample.mask, *image.shape[:2])
        return LabelledPicture(image, sample.label, mask, sample.part)


def measure_cost(
    untaught: ComposedExpert,
    taught: ComposedExpert,
    pictures: Sequence[npt.NDArray[np.uint8]],
    rounds: int,
) -> dict[str, float]:
    """Milliseconds of CPU that a frame takes, one by one, untaught and taught in turn."""
    spent: dict[str, list[float]] = {"untaught": [], "taught": []}
    for turn in range(rounds + 1):
        for name, expert in (("untaught", untaught), ("taught", taught)):
            begun = time.process_time()
            for picture in pictures:
                expert.score([picture])
            if turn:  # the first compiles and warms up
                spent[name].append(1e3 * (time.process_time() - begun) / len(pictures))
    found = {f"{name}_ms": median(values) for name, values in spent.items()}
    both = zip(spent["taught"], spent["untaught"], strict=True)
    return {**found, "added_ms": median(after - before for after, before in both)}


def _groups(split: Split) -> dict[Any, str] | None:
    known = {s.path: s.group for s in split.train if s.group is not None}
    return known or None


def _told(report: Progress, where: str, stage: str, done: int, total: int) -> None:
    report(f"{where} {stage}", done, total)


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the draws by state, with the lowest and the highest of each figure."""
    found: dict[str, Any] = {}
    for state in ("untaught", "taught"):
        own = [row[state] for row in rows]
        found[state] = {
            name: {
                "mean": fmean(o[name] for o in own),
                "low": min(o[name] for o in own),
                "high": max(o[name] for o in own),
            }
            for name in ("auroc", "found", "false_alarms")
        }
        found[state]["by_rate"] = {
            rate: {
                name: fmean(o["by_rate"][rate][name] for o in own)
                for name in ("found", "false_alarms")
            }
            for rate in own[0]["by_rate"]
        }
        classes = sorted({c for o in own for c in o["by_class"]})
        found[state]["by_class"] = {
            c: fmean(o["by_class"][c] for o in own if c in o["by_class"]) for c in classes
        }
    return found


def _left_out(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By class left out: found and AUROC of that class, untaught and taught."""
    return {
        name: {
            f"{figure}_{state}": fmean(r[state][figure] for r in rows if r["left_out"] == name)
            for figure in ("found", "auroc")
            for state in ("untaught", "taught")
        }
        for name in sorted({r["left_out"] for r in rows})
    }
