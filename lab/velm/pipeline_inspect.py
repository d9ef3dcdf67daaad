"""First stage: every test picture scored and outlined, once per expert and picture."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from lab.velm.answers_cache import Cache, digest_code, digest_json
from lab.velm.pipeline import Item, ObjectRun, PipelineOptions
from lab.velm.regions import drawn, outlined
from lab.velm.trained_experts import given_expert, trained_expert
from serving.bundles import digest_of
from serving.experts.expert import Expert
from serving.experts.images import read_image
from serving.experts.options import Progress, TrainOptions
from serving.experts.types import Scored
from serving.ray.inspections import to_inspection
from streams.events import Inspection

KIND = "inspection"


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


@dataclass(frozen=True)
class InspectedObject:
    """One object after the first stage."""

    run: ObjectRun
    pictures: tuple[Inspected, ...]
    """To be scored."""
    exemplars: tuple[Inspected, ...]


def inspect_object(
    run: ObjectRun, options: PipelineOptions, cache: Cache, report: Progress
) -> InspectedObject:
    """Every picture of an object, scored and outlined.

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
    return InspectedObject(run, tuple(found[: len(run.items)]), tuple(found[len(run.items) :]))


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
    code = digest_code("lab/velm/regions.py")
    warm = False
    for item in items:
        sha256 = digest_of(item.sample.path.read_bytes())
        if expert is None:
            yield Inspected(item, _drawn(item), not item.sample.anomalous, sha256, None)
            continue
        key = digest_json(expert.version, sha256, code)
        known = cache.get(KIND, key, tuple[Inspection, float])
        if known is None:
            image = read_image(item.sample.path, expert.bit_depth)
            if not warm:
                expert.score([image])
                warm = True
            began = time.perf_counter()
            scored = expert.score([image])[0]
            elapsed_ms = (time.perf_counter() - began) * 1000
            known = _inspection(scored, expert.version), elapsed_ms
            cache.put(KIND, key, known)
        inspection, expert_ms = known
        passed = options.gate and not inspection.anomalous
        yield Inspected(item, inspection, passed, sha256, expert_ms)


def _inspection(scored: Scored, version: str) -> Inspection:
    """The inspection as the line has it; where nothing is odd, the map's peak is outlined."""
    if scored.region is not None or scored.anomaly_map is None:
        return to_inspection(scored, "evaluation", version, {})
    return outlined(scored, scored.anomaly_map, version)[1]


def _drawn(item: Item) -> Inspection:
    """The oracle's: the mask as region, the truth as verdict."""
    _, found = drawn(item.sample, read_image(item.sample.path))
    if item.sample.anomalous:
        return found
    return found.model_copy(update={"anomalous": False, "region": None, "score": 0.0})
