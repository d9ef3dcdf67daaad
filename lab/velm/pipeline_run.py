"""The pipeline from end to end, once or as a series that shares its first stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

from lab.velm.answers_cache import Cache
from lab.velm.exemplar_split import split_exemplars
from lab.velm.pipeline import ObjectRun, PipelineOptions, Progress, check_options, limit_run
from lab.velm.pipeline_asking import answer_all
from lab.velm.pipeline_figures import PipelineResult, summarise
from lab.velm.pipeline_inspect import Inspected, inspect_object
from lab.velm.pipeline_naming import CallPlan, ObjectNaming


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


@dataclass(frozen=True)
class Prepared:
    """Runs whose pictures went through the first stage."""

    runs: tuple[ObjectRun, ...]
    inspected: Mapping[str, tuple[Sequence[Inspected], Sequence[Inspected]]]

    def namings(self, options: PipelineOptions, cache: Cache) -> list[ObjectNaming]:
        """The second stage of every object, ready to be planned or run."""
        return [ObjectNaming(run, self.inspected[run.name], options, cache) for run in self.runs]


def prepare(asked: EvaluationRun) -> Prepared:
    """Choose exemplars and pictures, check, and inspect every picture.

    Raises:
        PipelineError: the options or the data set do not allow the run.
    """
    options, runs = asked.options, asked.runs
    check_options(options, runs)
    if options.teaches:
        runs = [split_exemplars(run, options.shots, options.seed) for run in runs]
    chosen = tuple(limit_run(run, asked.limit) for run in runs)
    inspected = {r.name: inspect_object(r, options, asked.cache, asked.report) for r in chosen}
    return Prepared(chosen, inspected)


def plan_of(namings: Sequence[ObjectNaming]) -> CallPlan:
    """The sum over the objects."""
    return reduce(add, (naming.plan() for naming in namings), CallPlan(0, 0, 0, 0, 0, 0, 0.0))


def evaluate(asked: EvaluationRun) -> PipelineResult:
    """Inspect, plan, ask leave to spend, name, score.

    Raises:
        PipelineError: the run is not possible, or the endpoint stopped answering.
    """
    prepared = prepare(asked)
    namings = prepared.namings(asked.options, asked.cache)
    asked.confirm(plan_of(namings))
    answers = {naming.name: answer_all(naming, asked.report) for naming in namings}
    return summarise(prepared.runs, answers, asked.options, asked.folder, asked.resamples)
