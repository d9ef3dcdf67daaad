"""Table 5 of VELM: the prompt's five parts switched off one by one, over the same pictures."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Final

from lab.velm.pipeline import ObjectRun, PipelineError, PipelineOptions, Progress
from lab.velm.pipeline_asking import answer_all
from lab.velm.pipeline_figures import PipelineResult, answer_of, summarise
from lab.velm.pipeline_naming import AnsweredPicture, ObjectNaming
from lab.velm.pipeline_run import EvaluationRun, Prepared, plan_of, prepare
from lab.velm.predictions import GOOD, authors_matching
from prompts import PromptParts

FULL: Final = "full"
PARTS: Final = {
    "RI": "reference_image",
    "VP": "visual_prompt",
    "ND": "normal_description",
    "CS": "classification_strategy",
    "AD": "anomaly_descriptions",
}
"""The paper's abbreviation of each part, in the order of its columns."""
RESULT: Final = "ablation.json"


@dataclass(frozen=True)
class AblationRow:
    """One prompt: complete, or without one part."""

    name: str
    result: PipelineResult
    difference: tuple[float, float, float] | None
    """Accuracy less that of the complete prompt, in points, and its 95 % interval: paired, with
    images resampled within their object. None for the complete prompt."""


def without(options: PipelineOptions, part: str) -> PipelineOptions:
    """The options with one part of the prompt switched off; ``full`` has all five.

    Raises:
        PipelineError: no such part.
    """
    if part != FULL and part not in PARTS:
        raise PipelineError(f"part {part!r} is not among {', '.join(PARTS)}")
    off = {} if part == FULL else {PARTS[part]: False}
    velm = options.velm.model_copy(update={"parts": PromptParts(**off)})
    return replace(options, velm=velm)


def ablate(asked: EvaluationRun, parts: Sequence[str] = tuple(PARTS)) -> list[AblationRow]:
    """The complete prompt, then without each of ``parts``; pictures are inspected once.

    ``confirm`` is told the sum. Where switching a part off changes no word and no picture (an
    object without a strategy), its answers are those of the complete prompt and cost nothing.

    Raises:
        PipelineError: the classifier has no prompt, or the endpoint stopped answering.
    """
    if not asked.options.asks_endpoint:
        raise PipelineError("an ablation needs a classifier with a prompt: velm or cascade")
    names = (FULL, *parts)
    chosen = {name: without(asked.options, name) for name in names}
    prepared = prepare(asked)
    namings = {name: prepared.namings(chosen[name], asked.cache) for name in names}
    asked.confirm(reduce(add, (plan_of(row) for row in namings.values())))
    answers = {name: _named(name, namings[name], asked.report) for name in names}
    rows = [
        AblationRow(
            name,
            summarise(prepared.runs, answers[name], chosen[name], asked.folder / _folder(name), 0),
            None if name == FULL else _difference(prepared, answers, name, asked.resamples),
        )
        for name in names
    ]
    body = json.dumps(as_json(rows), indent=1)
    (asked.folder / RESULT).write_text(body + "\n", encoding="utf-8")
    return rows


def as_json(rows: Sequence[AblationRow]) -> dict[str, object]:
    """``{"accuracy": {object or mean: {row: percent}}, "difference": ..., "rows": ...}``."""
    objects = rows[0].result.scores.objects
    accuracy = {
        name: {row.name: row.result.scores.objects[name].figures["accuracy"] for row in rows}
        for name in objects
    }
    accuracy["mean"] = {row.name: row.result.scores.mean["accuracy"] for row in rows}
    return {
        "accuracy": accuracy,
        "difference": {row.name: list(row.difference) for row in rows if row.difference},
        "rows": {row.name: row.result.document for row in rows},
    }


def _named(
    name: str, namings: Sequence[ObjectNaming], report: Progress
) -> dict[str, list[AnsweredPicture]]:
    title = name if name == FULL else f"w/o {name}"

    def labelled(stage: str, done: int, total: int) -> None:
        report(f"{title}: {stage}", done, total)

    return {naming.name: answer_all(naming, labelled) for naming in namings}


def _folder(name: str) -> str:
    return name if name == FULL else f"without-{name.lower()}"


def _difference(
    prepared: Prepared,
    answers: Mapping[str, Mapping[str, Sequence[AnsweredPicture]]],
    name: str,
    resamples: int,
) -> tuple[float, float, float]:
    """Mean over objects of the share right, less that of the complete prompt; and its interval."""
    gains = []
    for run in prepared.runs:
        both = zip(answers[name][run.name], answers[FULL][run.name], strict=True)
        gains.append([_right(run, mine) - _right(run, theirs) for mine, theirs in both])
    found = _points(gains)
    rng = random.Random(0)
    drawn = sorted(
        _points([rng.choices(gain, k=len(gain)) for gain in gains]) for _ in range(resamples)
    )
    if not drawn:
        return found, found, found
    low, high = drawn[int(0.025 * resamples)], drawn[int(0.975 * (resamples - 1))]
    return found, low, high


def _points(gains: Sequence[Sequence[int]]) -> float:
    return 100 * sum(sum(gain) / len(gain) for gain in gains) / len(gains)


def _right(run: ObjectRun, answered: AnsweredPicture) -> int:
    sample = answered.inspected.item.sample
    truth = run.described.label_of(sample.label) if sample.anomalous else GOOD
    return int(authors_matching(answer_of(run, answered)) == authors_matching(truth))
