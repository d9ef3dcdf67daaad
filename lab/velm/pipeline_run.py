"""The pipeline from end to end, once or as a series that shares its first stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.velm.answers_cache import Cache
from lab.velm.pipeline import ObjectRun, PipelineOptions, check_options, limit_run, split_exemplars
from lab.velm.pipeline_asking import answer_all
from lab.velm.pipeline_figures import PipelineResult, summarise
from lab.velm.pipeline_inspect import InspectedObject, inspect_object
from lab.velm.pipeline_naming import CallPlan, ObjectNaming, plan_of
from serving.experts.options import Progress


@dataclass(frozen=True)
class EvaluationRun:
    """What is evaluated, and who is told of it."""

    runs: Sequence[ObjectRun]
    options: PipelineOptions
    cache: Cache
    folder: Path
    """Predictions, descriptions, figures and a row per picture are written there."""
    report: Progress
    confirm: Callable[[CallPlan], None]
    """Told what is about to be spent; raises to refuse."""
    limit: int | None = None
    """Most scored pictures of each class."""
    resamples: int = 1000
    """Bootstrap rounds."""
    name: str = ""
    """The benchmark's name."""


def inspect_objects(asked: EvaluationRun) -> list[InspectedObject]:
    """Choose exemplars and pictures, check, and inspect every picture.

    Raises:
        PipelineError: the options or the data set do not allow the run.
    """
    options, runs = asked.options, asked.runs
    check_options(options, runs)
    if options.teaches:
        runs = [split_exemplars(run, options.shots, options.seed) for run in runs]
    chosen = [limit_run(run, asked.limit) for run in runs]
    return [inspect_object(run, options, asked.cache, asked.report) for run in chosen]


def evaluate(asked: EvaluationRun) -> PipelineResult:
    """Inspect, plan, ask leave to spend, name, score.

    Raises:
        PipelineError: the run is not possible, or the endpoint stopped answering.
    """
    options = asked.options
    namings = [ObjectNaming(each, options, asked.cache) for each in inspect_objects(asked)]
    asked.confirm(plan_of(namings))
    answers = [answer_all(naming, asked.report) for naming in namings]
    return summarise(answers, options, asked.folder, asked.resamples)
