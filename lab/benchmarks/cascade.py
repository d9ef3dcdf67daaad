"""Measures the cascade on labelled photographs, with a twin that is right as often as told.

Per seed: exemplars from at most half of a class's parts, the other parts split into calibration
and test, by part. The local classifier and the multimodal client run as in the line, the latter
over HTTP; what they answered is then put through the real cascade. Regions are the true masks.
"""

import asyncio
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID

from lab.benchmarks.thresholds import choose_threshold
from lab.datasets.folders import Dataset, Sample
from lab.datasets.masks import true_mask
from lab.llm_twin.app import Twin
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.responders import ManifestResponder
from lab.llm_twin.server import TwinServer
from lab.llm_twin.validation import decode_picture, picture_digest
from lab.velm.pipeline import in_turns
from serving.experts.images import read_image
from serving.naming.base import UNKNOWN, Classifier
from serving.naming.cascade import CascadeClassifier, CascadeStage
from serving.naming.endpoint import Endpoint
from serving.naming.prototypes import PrototypeClassifier
from serving.naming.settings import (
    CascadeSettings,
    EndpointSettings,
    EndpointZone,
    VelmSettings,
    VisualSettings,
)
from serving.naming.teaching import Lesson, teach_product
from serving.naming.velm import VelmClassifier
from serving.naming.visual import make_pictures
from streams.errors import AndonError
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, ClassificationTexts, ClassText, Failure
from streams.regions import Mask, region_from_mask

PRODUCT = "product"
SMALL = VelmSettings(visual=VisualSettings(side_px=128))
"""The twin looks answers up: small pictures save its time and change nothing."""
NORMALS = 64

Answers = Mapping[UUID, Classification | Failure]


class CascadeMeasureError(AndonError):
    """The photographs do not allow the measurement; the message says what is missing."""


@dataclass(frozen=True)
class _Asked:
    request: ClassificationRequest
    sample: Sample
    mask: Mask

    def is_right(self, answers: Answers) -> bool:
        answer = answers[self.request.frame_id]
        return isinstance(answer, Classification) and answer.class_name == self.sample.label


def measure_cascade(
    dataset: Dataset,
    *,
    shots: int = 5,
    seeds: int = 5,
    accuracies: Sequence[float] = (0.6, 0.7, 0.85, 0.95),
    report: Callable[[str], None] = lambda text: None,
) -> list[dict[str, float]]:
    """One row per accuracy of the language model: means over the seeds, of the test parts.

    ``llm_told`` is the accuracy that the twin was told to have, ``llm_alone`` what it had;
    ``saved`` is the share of parts for which it was not asked; ``against_best`` the cascade's
    accuracy minus the better stage's alone (negative is a loss); ``accepted_accuracy`` the share
    of right ones among the local answers that stood: a language model that is right more often
    would have named those parts better.

    Raises:
        CascadeMeasureError: the data set names no parts, or a class has fewer than three.
    """
    samples = [s for s in dataset.test if s.anomalous]
    if any(s.group is None for s in samples):
        raise CascadeMeasureError(f"{dataset.name}: parts.csv must name the part of every picture")
    normals = [s.path.read_bytes() for s in dataset.train[:: max(1, len(dataset.train) // NORMALS)]]
    asked = [_ask(i, s, dataset.classes) for i, s in enumerate(samples, start=1)]
    by_accuracy: dict[float, list[dict[str, float]]] = {a: [] for a in accuracies}
    for seed in range(seeds):
        report(f"seed {seed + 1} of {seeds}")
        split = _split(samples, shots, random.Random(seed))
        queries = [asked[i] for i in (*split.calibration, *split.test)]
        local = asyncio.run(_ask_local(asked, split.exemplars, normals))
        for accuracy in accuracies:
            llm = asyncio.run(_ask_llm(queries, accuracy, seed))
            found = asyncio.run(_compare(asked, split, local, llm))
            by_accuracy[accuracy].append(found)
    return [_mean(accuracy, found) for accuracy, found in by_accuracy.items()]


class _Split(NamedTuple):
    """Numbers of the samples that teach, that choose the threshold, and that are measured."""

    exemplars: list[int]
    calibration: list[int]
    test: list[int]


def _split(samples: Sequence[Sample], shots: int, rng: random.Random) -> _Split:
    """Exemplars from at most half of each class's parts; the other parts halved by part."""
    split = _Split([], [], [])
    for label in sorted({s.label for s in samples}):
        parts = sorted({str(s.group) for s in samples if s.label == label})
        if len(parts) < 3:
            raise CascadeMeasureError(f"class {label!r} has {len(parts)} parts; three are needed")
        rng.shuffle(parts)
        taught, rest = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        by_part = {p: [i for i, s in enumerate(samples) if s.group == p] for p in parts}
        for images in by_part.values():
            rng.shuffle(images)
        split.exemplars.extend(in_turns([by_part[p] for p in taught])[:shots])
        half = len(rest) // 2 if rng.random() < 0.5 else (len(rest) + 1) // 2
        split.calibration.extend([i for p in rest[:half] for i in by_part[p]])
        split.test.extend([i for p in rest[half:] for i in by_part[p]])
    return split


def _ask(number: int, sample: Sample, classes: Sequence[str]) -> _Asked:
    image = sample.path.read_bytes()
    mask = true_mask(sample, read_image(sample.path))
    inspection = Inspection(
        score=1.0,
        threshold=0.5,
        p_value=0.0,
        anomalous=True,
        region=region_from_mask(mask, *mask.shape),
        expert_version="mask",
    )
    texts = ClassificationTexts(PRODUCT, "", classes=tuple(ClassText(c, c, "") for c in classes))
    deadline = datetime.now(UTC) + timedelta(hours=1)
    request = ClassificationRequest(UUID(int=number), image, inspection, texts, deadline)
    return _Asked(request, sample, mask)


async def _ask_local(
    asked: Sequence[_Asked], exemplars: Sequence[int], normals: Sequence[bytes]
) -> Answers:
    lessons = [
        Lesson(a.sample.label, a.request.image, a.mask, str(a.sample.group))
        for a in (asked[i] for i in exemplars)
    ]
    with TemporaryDirectory(prefix="andon-cascade-") as folder:
        bundle = teach_product(Path(folder), PRODUCT, lessons, normals=normals)
        classifier = PrototypeClassifier({PRODUCT: bundle}, refine=False)
        return await _all(classifier, [a for i, a in enumerate(asked) if i not in set(exemplars)])


async def _ask_llm(asked: Sequence[_Asked], accuracy: float, seed: int) -> Answers:
    truth = {}
    for one in asked:
        region = one.request.inspection.region
        pictures = make_pictures(one.request.image, None, region, SMALL.visual)
        truth[picture_digest(decode_picture(pictures.items[0]))] = one.sample.label
    responder = ManifestResponder(truth, accuracy, seed)
    with TwinServer(Twin(Behaviour(), responder)) as server:
        settings = EndpointSettings(
            base_url=server.base_url, model="twin", zone=EndpointZone.LOOPBACK, logprobs=True
        )
        answers = await _all(VelmClassifier(Endpoint(settings), SMALL), asked)
        if server.twin.counters.rejected:
            raise CascadeMeasureError(f"the twin refused: {server.twin.counters.rejections[0]}")
    return answers


async def _all(classifier: Classifier, asked: Sequence[_Asked]) -> Answers:
    await classifier.start()
    gate = asyncio.Semaphore(8)

    async def one(request: ClassificationRequest) -> Classification | Failure:
        async with gate:
            return await classifier.classify(request, 300.0)

    try:
        answers = await asyncio.gather(*(one(a.request) for a in asked))
    finally:
        await classifier.close()
    return {a.request.frame_id: answer for a, answer in zip(asked, answers, strict=True)}


@dataclass
class _Replayed:
    """A stage that answers as it did before."""

    name: str
    answers: Answers

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        return self.answers[request.frame_id]

    async def start(self) -> None: ...
    async def close(self) -> None: ...


async def _compare(
    asked: Sequence[_Asked], split: _Split, local: Answers, llm: Answers
) -> dict[str, float]:
    """Threshold from the calibration parts, figures from the test parts."""
    calibration, test = ([asked[i] for i in part] for part in (split.calibration, split.test))
    confidences = []
    for one in calibration:
        answer = local[one.request.frame_id]
        is_class = isinstance(answer, Classification) and answer.class_name != UNKNOWN
        confidences.append(answer.confidence if is_class else 0.0)  # type: ignore[union-attr]
    correct = [one.is_right(local) for one in calibration]
    # local answers stand where they err no more often than the language model does
    chosen = choose_threshold(confidences, correct, 1 - _accuracy(calibration, llm))
    threshold = min(chosen, 1.01)
    stages = [
        CascadeStage(_Replayed("prototypes", local), threshold),
        CascadeStage(_Replayed("llm", llm)),
    ]
    chain = CascadeClassifier(stages, CascadeSettings())
    answers = {a.request.frame_id: await chain.classify(a.request, 60.0) for a in test}
    saved = [
        isinstance(a, Classification) and a.stages == ("prototypes",) for a in answers.values()
    ]
    stood = [one.is_right(answers) for one, own in zip(test, saved, strict=True) if own]
    return {
        "llm_alone": _accuracy(test, llm),
        "local_alone": _accuracy(test, local),
        "cascade": _accuracy(test, answers),
        "saved": sum(saved) / len(saved),
        "stood": len(stood),
        "stood_right": sum(stood),
        "threshold": threshold,
    }


def _accuracy(asked: Sequence[_Asked], answers: Answers) -> float:
    return statistics.fmean(one.is_right(answers) for one in asked)


def _mean(accuracy: float, found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    mean = {name: statistics.fmean(f[name] for f in found) for name in found[0]}
    stood, stood_right, threshold = (mean.pop(n) for n in ("stood", "stood_right", "threshold"))
    row = {
        "llm_told": accuracy,
        **mean,
        "against_best": mean["cascade"] - max(mean["llm_alone"], mean["local_alone"]),
        "accepted_accuracy": stood_right / stood if stood else float("nan"),
        "threshold": threshold,
    }
    return {name: round(value, 4) for name, value in row.items()} | {"seeds": len(found)}
