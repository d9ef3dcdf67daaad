"""``andon evaluate fewshot``: what the local classifier names right, and what it should refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from andon.cli.options import Json
from andon.cli.printing import plain, print_found
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.velm.fewshot import FewShotFigures

Images = Annotated[
    Path, typer.Option("--images", help="Data set in MVTec-AD layout, with parts.csv.")
]
Artifact = Annotated[
    Path | None,
    typer.Option("--artifact", help="Expert that outlines (default: one is trained, and kept)."),
]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy whose actions and escapes are counted.")
]
Cache = Annotated[Path, typer.Option("--cache", help="Folder for experts and features.")]


def fewshot(
    images: Images,
    shots: Annotated[str, typer.Option(help="Examples per class, comma-separated.")] = "1,3,5",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Draws of the examples.")] = 20,
    masks: Annotated[
        str, typer.Option(help="Whose regions: true, taught (as shipped), drawn, expert, or all.")
    ] = "all",
    artifact: Artifact = None,
    policy: PolicyFile = None,
    cache: Cache = Path(".andon/cache"),
    as_json: Json = False,
) -> None:
    """Name anomalies from 1 to 5 examples; exemplars and queries show different parts.

    Each figure says who drew the regions. As shipped, a person marks the exemplars, which teach the
    expert, and the expert outlines the queries; the others leave the expert untaught.
    """
    from andon.cli.experts import find_artifact, stage_bars
    from lab.datasets.folders import load_dataset
    from lab.velm.answers_cache import Cache as AnswersCache
    from lab.velm.fewshot import measure
    from lab.velm.fewshot_material import PROTOCOLS, TAUGHT, TRUE, gather
    from lab.velm.fewshot_taught import TaughtRegions, can_be_taught
    from lab.velm.trained_experts import trained_expert
    from policies.authoring.loading import load_policy
    from serving.experts.artifact import load_expert

    counts = _counts(shots)
    if masks not in (*PROTOCOLS, "all"):
        raise typer.BadParameter(f"{masks!r} is not among {', '.join(PROTOCOLS)}, all")
    wanted = tuple(PROTOCOLS) if masks == "all" else (masks,)
    dataset = load_dataset(images)
    in_force = load_policy(policy) if policy is not None else None
    with stage_bars() as report:
        expert = None
        if wanted != (TRUE,) and artifact is not None:
            expert = load_expert(find_artifact(artifact))
        elif wanted != (TRUE,):
            expert = trained_expert(dataset, cache, report=report)
        if masks == "all" and not can_be_taught(expert):
            wanted = tuple(source for source in wanted if source != TAUGHT)
            Console(stderr=True).print(f"{TAUGHT} is left out: this expert cannot be taught")
        with AnswersCache(cache) as kept:
            examples = gather(dataset, expert, kept, report)
            taught = TaughtRegions(dataset, expert, kept, report) if TAUGHT in wanted else None
            figures = [
                measure(examples, source, counts, seeds, in_force, taught) for source in wanted
            ]
    found = {f.masks: {"protocol": PROTOCOLS[f.masks], **f.as_json()} for f in figures}
    version = expert.version if expert else ""
    body = {"dataset": dataset.name, "expert": version, "masks": found}
    print_found(body, (part for one in figures for part in _shown(one)), as_json)


def _counts(text: str) -> list[int]:
    try:
        counts = [int(item) for item in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 1,3,5") from None
    if any(not 1 <= n <= 64 for n in counts):
        raise typer.BadParameter("between 1 and 64 examples per class")
    return counts


def _shown(figures: "FewShotFigures") -> Iterator[RenderableType]:
    from lab.velm.fewshot_material import PROTOCOLS

    title = f"{figures.masks}: {PROTOCOLS[figures.masks]}; {figures.seeds} seeds; by part"
    headings = ("shots", "macro accuracy", "±", "as shipped", "unknown", "wrong", "escapes", "ECE")
    table = table_of(headings, (), title, left=0)
    for row in figures.naming:
        escapes = "" if row.escapes is None else f"{row.escapes:.3f}"
        values = (row.accuracy, row.spread, row.shipped_accuracy, row.refused, row.wrong)
        table.add_row(
            str(row.shots), *(f"{v:.3f}" for v in values), escapes, f"{row.calibration_error:.3f}"
        )
    yield table
    if figures.unknown is not None:
        unknown = figures.unknown
        hidden = Table("hidden class", "AUROC", "acted on", title="unknown, leave one class out")
        for name, area in unknown.by_class.items():
            hidden.add_row(plain(name), f"{area:.3f}", f"{unknown.acted_on[name]:.3f}")
        hidden.add_section()
        hidden.add_row("mean", f"{unknown.auroc:.3f}", f"{unknown.acted_on_mean:.3f}")
        yield hidden
        yield f"known classes refused at the same threshold: {unknown.known_refused:.3f}"
    actions = figures.naming[-1].actions
    if actions:
        names = sorted({action for found in actions.values() for action in found})
        acted = Table("class", *names, title=f"actions at {figures.naming[-1].shots} shots")
        for name, found in actions.items():
            acted.add_row(plain(name), *(f"{found.get(action, 0.0):.2f}" for action in names))
        yield acted
