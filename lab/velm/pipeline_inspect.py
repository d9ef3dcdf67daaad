"""First stage: every test picture scored and outlined, once per expert and picture."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from lab.datasets.masks import true_mask
from lab.velm.answers_cache import Cache, digest_of
from lab.velm.pipeline import Item, ObjectRun, PipelineOptions, Progress
from lab.velm.regions import CUT, MASK_CUT, inspection_of
from lab.velm.trained_experts import given_expert, trained_expert
from serving.experts.expert import Expert
from serving.experts.images import read_image
from serving.experts.options import TrainOptions
from serving.experts.types import Image, Scored
from serving.ray.inspections import to_inspection
from streams.events import Inspection

KIND = "inspection"
_SOURCE = Path(__file__).with_name("regions.py")


@dataclass(frozen=True)
class Inspected:
    """One picture after the first stage."""

    item: Item
    inspection: Inspection
    """Its region is outlined also where nothing is odd: at the map's peak."""
    passed: bool
    """The gate calls it good: no classifier is asked."""
    sha256: str
    """The SHA-256 of the file."""
    expert_ms: float | None
    """Scoring alone, one picture at a time, no decoding; None without an expert."""


class _Kept(BaseModel):
    inspection: Inspection
    ms: float


def inspect_object(
    run: ObjectRun, options: PipelineOptions, cache: Cache, report: Progress
) -> tuple[list[Inspected], list[Inspected]]:
    """The pictures to be scored, and the exemplars, after the first stage.

    Raises:
        DatasetError: a mask that does not fit, or no expert where one was promised.
        serving.experts.errors.ExpertError: training failed; the message names the picture.
    """
    expert = None if options.regions == "oracle" else _expert(run, options, cache, report)
    items = (*run.items, *run.exemplars)
    found = []
    for done, inspected in enumerate(_inspect(items, expert, options, cache), start=1):
        found.append(inspected)
        report(f"{run.name}: inspect", done, len(items))
    return found[: len(run.items)], found[len(run.items) :]


def _expert(run: ObjectRun, options: PipelineOptions, cache: Cache, report: Progress) -> Expert:
    if options.experts is not None:
        return given_expert(options.experts, run.name)
    wanted = TrainOptions(expert=options.expert, false_alarm_rate=options.false_alarm_rate)

    def named(stage: str, done: int, total: int) -> None:
        report(f"{run.name}: {stage}", done, total)

    return trained_expert(run.dataset, cache.path.parent, wanted, named)


def _inspect(
    items: tuple[Item, ...], expert: Expert | None, options: PipelineOptions, cache: Cache
) -> Iterator[Inspected]:
    code = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()
    warm = False
    for item in items:
        body = item.sample.path.read_bytes()
        sha256 = hashlib.sha256(body).hexdigest()
        if expert is None:
            yield Inspected(item, _drawn(item), not item.sample.anomalous, sha256, None)
            continue
        key = digest_of(expert.version, sha256, code)
        known = cache.get(KIND, key, _Kept)
        if known is None:
            image = read_image(item.sample.path)
            if not warm:
                expert.score([image])
                warm = True
            began = time.perf_counter()
            scored = expert.score([image])[0]
            elapsed_ms = (time.perf_counter() - began) * 1000
            inspection = _inspection(scored, image, expert.version)
            known = _Kept(inspection=inspection, ms=elapsed_ms)
            cache.put(KIND, key, known)
        passed = options.gate and not known.inspection.anomalous
        yield Inspected(item, known.inspection, passed, sha256, known.ms)


def _inspection(scored: Scored, image: Image, version: str) -> Inspection:
    """The inspection as the line has it; where nothing is odd, the map's peak is outlined."""
    if scored.region is not None or scored.anomaly_map is None:
        return to_inspection(scored, "evaluation", version, {})
    return inspection_of(scored.anomaly_map, CUT, image, scored, version)


def _drawn(item: Item) -> Inspection:
    """The oracle's: the mask as region, the truth as verdict."""
    image = read_image(item.sample.path)
    mask = true_mask(item.sample, image)
    found = inspection_of(mask.astype(np.float32), MASK_CUT, image, None)
    if item.sample.anomalous:
        return found
    return found.model_copy(update={"anomalous": False, "region": None, "score": 0.0})
