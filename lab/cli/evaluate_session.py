"""One evaluation from its options to its end: data set, endpoint, cache, leave to spend, bars."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from andon.cli.options import read_options, writable_folder
from andon.settings import load_settings
from lab.cli.evaluate_options import Asked, EvaluateError, EvaluationOptions, chosen_endpoint

if TYPE_CHECKING:
    from lab.datasets.published import Benchmark
    from lab.velm.pipeline import ObjectRun, PipelineOptions
    from lab.velm.pipeline_naming import CallPlan
    from lab.velm.pipeline_run import EvaluationRun


@contextmanager
def opened_evaluation(
    asked: Asked, classifier: "Literal['prototypes', 'velm', 'cascade'] | None", label: str = ""
) -> "Iterator[EvaluationRun]":
    """Data set, words, endpoint, cache and progress bars of an evaluation, closed at its end.

    Args:
        classifier: None takes the settings'.
        label: the last word of the default folder's name.

    Raises:
        EvaluateError: options that exclude each other, no such endpoint, or Ctrl-C.
    """
    from lab.velm.answers_cache import Cache
    from lab.velm.pipeline import PipelineOptions
    from lab.velm.pipeline_run import EvaluationRun

    more = read_options(EvaluationOptions, asked.more)
    if asked.out is not None:
        writable_folder(asked.out, "--out")
    settings = load_settings().classifier
    kind = classifier or settings.kind
    velm = settings.velm
    if asked.protocol is not None:
        velm = velm.model_copy(update={"protocol": asked.protocol})
    errors = Console(stderr=True)
    found, runs = _open_runs(asked, more)
    _print_benchmark(found, errors)
    with ExitStack() as stack:
        endpoint = chosen_endpoint(stack, asked, more) if kind != "prototypes" else None
        stack.enter_context(_resumable())
        options = PipelineOptions(
            classifier=kind,
            regions=asked.regions,
            gate=more.gate,
            velm=velm,
            endpoint=endpoint,
            cascade=settings.cascade,
            shots=more.shots,
            seed=more.seed,
            expert=more.expert,
            false_alarm_rate=more.false_alarm_rate,
            experts=more.experts,
        )
        words = [found.name, kind, asked.regions, label, "" if more.gate else "no-gate"]
        if endpoint is not None:
            words += [velm.protocol, endpoint.model]
        name = re.sub(r"[^\w.-]", "_", "-".join(filter(None, words)).lower())
        yield EvaluationRun(
            runs,
            options,
            stack.enter_context(Cache(more.cache)),
            asked.out or more.cache.parent / "evaluations" / name,
            stack.enter_context(_passing_bars()),
            _confirm_spending(options, more.max_cost, asked.yes, errors),
            more.limit,
            more.resamples,
            found.name,
        )


def _open_runs(asked: Asked, more: EvaluationOptions) -> "tuple[Benchmark, list[ObjectRun]]":
    """Pictures and words of every object."""
    from lab.datasets.published import open_benchmark
    from lab.datasets.refinements import load_rules
    from lab.velm.descriptions import check_classes, read_descriptions
    from lab.velm.pipeline import ObjectRun

    own = load_rules(more.rules) if more.rules is not None else None
    found = open_benchmark(asked.dataset, more.benchmark, more.objects, own)
    described = read_descriptions(asked.descriptions, more.egress)
    runs = []
    for name, dataset in found.objects.items():
        if not dataset.test:
            raise EvaluateError(f"{asked.dataset}: {name} has no test pictures")
        words = check_classes(name, dataset.classes, described, asked.descriptions)
        runs.append(ObjectRun.of(name, dataset, words))
    return found, runs


def _confirm_spending(
    options: "PipelineOptions", most: float, yes: bool, out: Console
) -> "Callable[[CallPlan], None]":
    """Prints what a run will cost at most, and asks where that is above ``most``."""

    def confirm(plan: "CallPlan") -> None:
        from serving.naming.settings import EndpointZone

        out.print(
            f"{plan.pictures} pictures: {plan.passed} pass the gate, {plan.known} were answered "
            f"before, {plan.pictures - plan.passed - plan.known} to be named"
        )
        endpoint = options.endpoint
        if endpoint is None or not plan.calls:
            return
        prices = endpoint.prices
        priced = prices.tokens_in > 0 or prices.tokens_out > 0
        worth = f"{plan.cost:.2f} {prices.currency}" if priced else "unknown: no prices are set"
        out.print(
            f"at most {plan.calls} calls of {endpoint.model} with {plan.tokens_in:,} tokens in "
            f"and {plan.tokens_out:,} out; cost: {worth}"
        )
        unknown = not priced and endpoint.zone is EndpointZone.EXTERNAL
        if yes or not (unknown or plan.cost > most):
            return
        why = "the cost is not known" if unknown else f"that is more than max-cost {most:g}"
        if not out.is_terminal or not typer.confirm(f"{why}; go on?", err=True):
            raise EvaluateError(
                f"{why}: nothing was asked; --yes goes on, max-cost raises the limit, "
                "price-in and price-out (or the endpoint's prices) make it known"
            )

    return confirm


@contextmanager
def _passing_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar per stage on stderr, gone when the stage is over."""
    columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int) -> None:
        if done < total and stage not in tasks:
            bars.start()
            tasks[stage] = bars.add_task(stage, total=total)
        if stage in tasks:
            bars.update(tasks[stage], completed=done)
        if done >= total and stage in tasks:
            bars.remove_task(tasks.pop(stage))
        if not tasks:  # a question may be asked between two stages
            bars.stop()

    try:
        yield report
    finally:
        bars.stop()


@contextmanager
def _resumable() -> Iterator[None]:
    """Ctrl-C as an error that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise EvaluateError(
            "interrupted; what was answered is kept: the same command continues there"
        ) from None


def _print_benchmark(found: "Benchmark", out: Console) -> None:
    """What is about to be evaluated, and in what it is not the published benchmark."""
    out.print(f"{found.name}: {len(found.objects)} objects, {found.images} test pictures")
    for line in found.underivable:
        out.print(f"  cannot be repeated: {line}", soft_wrap=True)
    if found.differences:
        shown = "; ".join(map(str, found.differences))
        out.print(f"  differs from the released counts: {shown}", soft_wrap=True)
