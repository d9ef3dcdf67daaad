"""Table 5 of VELM: the prompt's five parts switched off one by one, over the same pictures."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

from lab.velm.pipeline import PipelineError, PipelineOptions
from lab.velm.pipeline_asking import answer_all
from lab.velm.pipeline_figures import Answers, PipelineResult, summarise
from lab.velm.pipeline_naming import AnsweredPicture, ObjectNaming, plan_of
from lab.velm.pipeline_run import EvaluationRun, inspect_objects
from lab.velm.predictions import authors_matching, interval
from prompts import PromptParts
from serving.experts.options import Progress

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
    objects = inspect_objects(asked)
    namings = {
        name: [ObjectNaming(each, chosen[name], asked.cache) for each in objects] for name in names
    }
    asked.confirm(plan_of([naming for row in namings.values() for naming in row]))
    answers = {name: _answers(name, namings[name], asked.report) for name in names}
    rows = []
    for name in names:
        folder = asked.folder / (name if name == FULL else f"without-{name.lower()}")
        result = summarise(answers[name], chosen[name], folder, 0)
        difference = None
        if name != FULL:
            difference = _difference(answers[name], answers[FULL], asked.resamples)
        rows.append(AblationRow(name, result, difference))
    body = json.dumps(as_json(rows), indent=1)
    (asked.folder / RESULT).write_text(body + "\n", encoding="utf-8")
    return rows


def as_json(rows: Sequence[AblationRow]) -> dict[str, object]:
    """``{"accuracy": {object or mean: {row: percent}}, "difference": ..., "rows": ...}``."""
    objects = rows[0].result.scores.objects
    accuracy = {
        name: {row.name: row.result.scores.objects[name]["accuracy"] for row in rows}
        for name in objects
    }
    accuracy["mean"] = {row.name: row.result.scores.mean["accuracy"] for row in rows}
    return {
        "accuracy": accuracy,
        "difference": {row.name: list(row.difference) for row in rows if row.difference},
        "rows": {row.name: row.result.document for row in rows},
    }


def _answers(name: str, namings: Sequence[ObjectNaming], report: Progress) -> Answers:
    title = name if name == FULL else f"w/o {name}"

    def labelled(stage: str, done: int, total: int) -> None:
        report(f"{title}: {stage}", done, total)

    return [answer_all(naming, labelled) for naming in namings]


def _difference(answers: Answers, full: Answers, resamples: int) -> tuple[float, float, float]:
    """Mean over objects of the share right, less that of the complete prompt; and its interval."""
    gains = [
        [_right(mine) - _right(theirs) for mine, theirs in zip(row, complete, strict=True)]
        for row, complete in zip(answers, full, strict=True)
    ]
    found = _points(gains)
    rng = random.Random(0)
    drawn = [_points([rng.choices(gain, k=len(gain)) for gain in gains]) for _ in range(resamples)]
    return found, *(interval(drawn) if drawn else (found, found))


def _points(gains: Sequence[Sequence[int]]) -> float:
    return 100 * fmean(fmean(gain) for gain in gains)


def _right(answered: AnsweredPicture) -> int:
    truth = answered.inspected.item.truth
    return int(authors_matching(answered.answer) == authors_matching(truth))
