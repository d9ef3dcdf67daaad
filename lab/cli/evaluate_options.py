"""What ``evaluate pipeline`` and ``evaluate ablation`` share: options, endpoint, leave to spend."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from andon.settings import load_settings
from streams.errors import AndonError

if TYPE_CHECKING:
    from lab.datasets.published import Benchmark
    from lab.velm.pipeline import ObjectRun, PipelineOptions
    from lab.velm.pipeline_naming import Plan
    from serving.naming.settings import EndpointSettings

Folder = Annotated[Path, typer.Argument(help="One object's folder, or a folder of objects.")]
Descriptions = Annotated[
    Path,
    typer.Option(help="The authors' JSON, a policy (*.yaml), or a folder of policies."),
]
BenchmarkKind = Annotated[
    Literal["auto", "mvtec-ad", "mvtec-ac", "visa", "visa-ac"],
    typer.Option("--benchmark", help="Check against, or derive, a published data set."),
]
RulesFile = Annotated[
    Path | None,
    typer.Option("--rules", help="Your own refinement, as lab/datasets/data/*.yaml."),
]
Objects = Annotated[
    str, typer.Option("--objects", help="Only these, comma-separated (default: all).")
]
Regions = Annotated[
    Literal["expert", "oracle"],
    typer.Option(help="oracle: masks are the regions, the truth is the gate."),
]
Experts = Annotated[
    Path | None, typer.Option("--experts", help="Trained experts, <object>/<version> (or train).")
]
ExpertKind = Annotated[
    Literal["patchcore", "ddad"], typer.Option("--expert", help="Which kind to train.")
]
FalseAlarms = Annotated[
    float,
    typer.Option("--false-alarm-rate", help="Asked of the expert's calibration, (0, 0.5]."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Most pictures scored of each class.")
]
Seed = Annotated[int, typer.Option(help="Of exemplars and random references.")]
Protocol = Annotated[
    Literal["andon", "velm"] | None,
    typer.Option(help="velm: the paper's prompt, closed class set, random reference."),
]
Egress = Annotated[
    Literal["none", "crop", "full"] | None,
    typer.Option(help="What an external endpoint may be shown (default: the policy's, or none)."),
]
Endpoint = Annotated[str, typer.Option("--endpoint", help="Name of an endpoint in the settings.")]
BaseUrl = Annotated[
    str, typer.Option("--base-url", help="OpenAI-compatible endpoint, up to and including /v1.")
]
Model = Annotated[str, typer.Option("--model", help="Model to ask (with --base-url: needed).")]
ApiKeyEnv = Annotated[
    str, typer.Option("--api-key-env", help="Environment variable that holds the key.")
]
ZoneOption = Annotated[
    Literal["loopback", "plant", "external"] | None,
    typer.Option("--zone", help="Where --base-url runs (default: loopback or external)."),
]
PriceIn = Annotated[
    float | None, typer.Option("--price-in", min=0, help="Per million prompt tokens.")
]
PriceOut = Annotated[
    float | None, typer.Option("--price-out", min=0, help="Per million answer tokens.")
]
UseTwin = Annotated[bool, typer.Option("--twin", help="Ask the local twin; no network.")]
CacheFolder = Annotated[
    Path,
    typer.Option("--cache", "--resume", help="Experts and answers; the same folder resumes."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for predictions, figures, a row per picture.")
]
MaxCost = Annotated[
    float, typer.Option("--max-cost", min=0, help="Ask before more than this could be spent.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class EvaluateError(AndonError):
    """What was asked of ``andon evaluate`` cannot be done."""


@contextmanager
def configured_endpoint(
    needed: bool,
    *,
    name: str,
    base_url: str,
    model: str,
    api_key_env: str,
    zone: str | None,
    prices: tuple[float | None, float | None],
    twin: bool,
) -> "Iterator[EndpointSettings | None]":
    """The endpoint that the options mean; a twin runs meanwhile.

    Raises:
        EvaluateError: options that exclude each other, or no such endpoint.
    """
    if not needed:
        yield None
        return
    if twin and (base_url or name):
        raise EvaluateError("--twin excludes --base-url and --endpoint")
    if twin:
        from lab.llm_twin.app import Twin
        from lab.llm_twin.server import TwinServer

        with TwinServer(Twin()) as server:
            yield _given(server.base_url, model or "twin", "", "loopback", prices, "twin")
        return
    if base_url:
        if not model:
            raise EvaluateError("--base-url needs --model")
        yield _given(base_url, model, api_key_env, zone, prices, "llm")
        return
    yield _from_settings(name, model, prices)


def open_runs(
    folder: Path,
    descriptions: Path,
    benchmark: str,
    rules: Path | None,
    objects: str,
    egress: str | None,
) -> "tuple[Benchmark, list[ObjectRun]]":
    """Pictures and words of every object.

    Raises:
        lab.datasets.folders.DatasetError: says which folder or file is missing.
        lab.velm.descriptions.DescriptionsError: names what is not described.
    """
    from lab.datasets.published import open_benchmark
    from lab.datasets.refinements import load_rules
    from lab.velm.descriptions import check_classes, read_descriptions
    from lab.velm.pipeline import ObjectRun, number_items

    wanted = [o.strip() for o in objects.split(",") if o.strip()]
    own = load_rules(rules) if rules is not None else None
    found = open_benchmark(folder, benchmark, wanted, own)
    described = read_descriptions(descriptions, egress)
    runs = []
    for name, dataset in found.objects.items():
        if not dataset.test:
            raise EvaluateError(f"{folder}: {name} has no test pictures")
        words = check_classes(name, dataset.classes, described, descriptions)
        runs.append(ObjectRun(name, dataset, words, number_items(name, dataset.test)))
    return found, runs


def confirm_spending(
    options: "PipelineOptions", most: float, yes: bool, out: Console
) -> "Callable[[Plan], None]":
    """Prints what a run will cost at most, and asks where that is above ``most``."""

    def confirm(plan: "Plan") -> None:
        from serving.naming.settings import Zone

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
        unknown = not priced and endpoint.zone is Zone.EXTERNAL
        if yes or not (unknown or plan.cost > most):
            return
        why = "the cost is not known" if unknown else f"that is more than --max-cost {most:g}"
        if not out.is_terminal or not typer.confirm(f"{why}; go on?", err=True):
            raise EvaluateError(
                f"{why}: nothing was asked; --yes goes on, --max-cost raises the limit, "
                "--price-in and --price-out (or the endpoint's prices) make it known"
            )

    return confirm


@contextmanager
def passing_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar per stage on stderr, gone when the stage is over."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    tasks: dict[str, Any] = {}

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
def resumable() -> Iterator[None]:
    """Ctrl-C as an error that says how to go on; expert errors as the command's."""
    from andon.cli.expert_options import expert_errors

    try:
        with expert_errors():
            yield
    except KeyboardInterrupt:
        raise EvaluateError(
            "interrupted; what was answered is kept: the same command continues there"
        ) from None


def print_benchmark(found: "Benchmark", out: Console) -> None:
    """What is about to be evaluated, and in what it is not the published benchmark."""
    out.print(f"{found.name}: {len(found.objects)} objects, {found.images} test pictures")
    for line in found.underivable:
        out.print(f"  cannot be repeated: {line}", soft_wrap=True)
    if found.differences:
        shown = "; ".join(map(str, found.differences))
        out.print(f"  differs from the released counts: {shown}", soft_wrap=True)


def run_name(benchmark: str, options: "PipelineOptions", *more: str) -> str:
    """A folder name that says what was run."""
    parts = [benchmark, options.classifier, options.regions, *more]
    if not options.gate:
        parts.append("no-gate")
    if options.asks_endpoint and options.endpoint is not None:
        parts += [options.velm.protocol, options.endpoint.model]
    text = "-".join(parts).lower()
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)


def _given(
    base_url: str,
    model: str,
    api_key_env: str,
    zone: str | None,
    prices: tuple[float | None, float | None],
    name: str,
) -> "EndpointSettings":
    from pydantic import ValidationError

    from serving.naming.settings import EndpointSettings, PriceSettings, Zone

    place = Zone(zone) if zone else _likely_zone(base_url)
    try:
        return EndpointSettings(
            name=name,
            base_url=base_url,
            model=model,
            api_key_env=api_key_env,
            zone=place,
            logprobs=name == "twin",
            prices=PriceSettings(tokens_in=prices[0] or 0.0, tokens_out=prices[1] or 0.0),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise EvaluateError(f"--base-url {base_url}: {first['msg']}") from None


def _likely_zone(base_url: str) -> Any:
    from urllib.parse import urlsplit

    from serving.naming.settings import Zone

    host = urlsplit(base_url).hostname or ""
    is_local = host in ("localhost", "::1") or host.startswith("127.")
    return Zone.LOOPBACK if is_local else Zone.EXTERNAL


def _from_settings(
    name: str, model: str, prices: tuple[float | None, float | None]
) -> "EndpointSettings | None":
    configured = load_settings().classifier
    wanted = name or configured.endpoint
    known: Sequence[Any] = configured.endpoints
    if not known and not name:
        return None
    found = next((e for e in known if e.name == wanted or not wanted), None)
    if found is None:
        names = ", ".join(e.name for e in known) or "none is configured"
        raise EvaluateError(
            f"no endpoint {wanted!r} in the settings ({names}): ANDON_CLASSIFIER__ENDPOINTS, "
            "--base-url and --model, or --twin"
        )
    changes: dict[str, Any] = {"model": model} if model else {}
    own = {"tokens_in": prices[0], "tokens_out": prices[1]}
    changed = {k: v for k, v in own.items() if v is not None}
    if changed:
        changes["prices"] = found.prices.model_copy(update=changed)
    updated: EndpointSettings = found.model_copy(update=changes)
    return updated
