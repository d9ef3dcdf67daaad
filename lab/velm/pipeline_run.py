"""The pipeline from end to end, once or as a series that shares its first stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

from lab.velm.answers_cache import Cache
from lab.velm.exemplar_split import split_exemplars
from lab.velm.pipeline import (
    ObjectRun,
    PipelineOptions,
    Progress,
    check_options,
    limit_run,
)
from lab.velm.pipeline_asking import Answered
from lab.velm.pipeline_figures import PipelineResult, summarise
from lab.velm.pipeline_inspect import Inspected, inspect_object
from lab.velm.pipeline_naming import NamingStage, Plan

Confirm = Callable[[Plan], None]
"""Told what is about to be spent; raises to refuse."""


@dataclass(frozen=True)
class Prepared:
    """Runs whose pictures went through the first stage."""

    runs: tuple[ObjectRun, ...]
    inspected: Mapping[str, tuple[Sequence[Inspected], Sequence[Inspected]]]


def prepare(
    runs: Sequence[ObjectRun],
    options: PipelineOptions,
    cache: Cache,
    report: Progress,
    limit: int | None = None,
) -> Prepared:
    """Choose exemplars and pictures, check, and inspect every picture.

    Raises:
        PipelineError: the options or the data set do not allow the run.
    """
    check_options(options, runs)
    if options.teaches:
        runs = [split_exemplars(run, options.shots, options.seed) for run in runs]
    chosen = tuple(limit_run(run, limit) for run in runs)
    return Prepared(
        chosen, {run.name: inspect_object(run, options, cache, report) for run in chosen}
    )


def stages_of(
    prepared: Prepared, options: PipelineOptions, cache: Cache
) -> tuple[NamingStage, ...]:
    """The second stage of every object, ready to be planned or run."""
    return tuple(
        NamingStage(run, prepared.inspected[run.name], options, cache) for run in prepared.runs
    )


def plan_of(stages: Sequence[NamingStage]) -> Plan:
    """The sum over the objects."""
    return reduce(add, (stage.plan() for stage in stages), Plan(0, 0, 0, 0, 0, 0, 0.0))


def evaluate(
    runs: Sequence[ObjectRun],
    options: PipelineOptions,
    cache: Cache,
    folder: Path,
    *,
    report: Progress,
    confirm: Confirm,
    limit: int | None = None,
    resamples: int = 1000,
) -> PipelineResult:
    """Inspect, plan, ask leave to spend, name, score.

    Args:
        folder: predictions, descriptions, figures and a row per picture are written there.
        limit: most scored pictures of each class.

    Raises:
        PipelineError: the run is not possible, or the endpoint stopped answering.
    """
    prepared = prepare(runs, options, cache, report, limit)
    stages = stages_of(prepared, options, cache)
    confirm(plan_of(stages))
    answers: dict[str, list[Answered]] = {stage.name: stage.answer(report) for stage in stages}
    return summarise(prepared.runs, answers, options, folder, resamples)
