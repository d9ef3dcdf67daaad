"""``andon benchmark expert``: accuracy, calibration, misses and speed on a data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from andon.cli.experts import find_artifact, stage_bars
from andon.cli.options import Json, More, read_options, writable_file
from andon.cli.printing import print_found
from lab.benchmarks.expert_options import ExpertOptions
from lab.cli.smoke import folder_or_smoke
from lab.cli.tables import table_of

if TYPE_CHECKING:
    from lab.datasets.folders import Dataset

SMOKE_AUROC = 0.9
"""Plain scratches and stains on made-up images: below this something is broken."""


def expert(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="MVTec-AD, VisA or plain-folder data set.", show_default=False),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="full (as published) or disjoint (by part, needs parts.csv).")
    ] = "full",
    artifact: Annotated[
        Path | None,
        typer.Option(help="Measure this artifact; without it one is trained on the data set."),
    ] = None,
    rate: Annotated[float, typer.Option(help="False-alarm rate asked for when training.")] = 0.05,
    precision: Annotated[str, typer.Option(help="auto, f32, bf16, or fp16 on CUDA.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    most: Annotated[
        int | None, typer.Option(help="At most so many training images, and test images per class.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="A peer timed in turn with it: anomalib (installed on first use)."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Made-up images, under a minute: does it all still run?")
    ] = False,
    chart: Annotated[Path | None, typer.Option(help="Write an SVG chart here.")] = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Measure an expert; labels measure, they never choose."""
    from lab.benchmarks import expert_run
    from lab.benchmarks.expert import accuracy, resplit_calibration, score_set
    from lab.benchmarks.expert import chart as draw

    chosen = read_options(ExpertOptions, more)
    if chart is not None:
        writable_file(chart, "--chart")
    data = _dataset(dataset, protocol, most, smoke)
    if smoke:
        chosen = chosen.model_copy(update={"seconds": min(chosen.seconds, 0.5)})
    with stage_bars() as report:
        where = expert_run.Where(chosen.runtime, precision, device, chosen.threads)
        if artifact is not None:
            ready = expert_run.loaded(find_artifact(artifact), where)
        else:
            ready = expert_run.trained(data, rate, where, report, smoke)
        found = score_set(ready, data.test, report)
        figures = accuracy(found)
        unseen = [s for s in (*data.test, *data.left_out) if not s.anomalous]
        if len({s.group for s in unseen if s.group}) >= 20:
            scored = score_set(ready, unseen, report, maps=False)
            parts = [str(s.group) for s in unseen]
            figures["resplits"] = resplit_calibration(scored.scores, parts, rate)
        figures |= expert_run.speed(ready, data, chosen.seconds)
        if against is not None:
            beside = expert_run.beside(against, ready, data, chosen, report)
            figures["against"] = {against: beside}
    figures |= expert_run.about(ready, data, protocol)
    if chart is not None:
        chart.write_text(draw(found, figures, f"{data.name}, {protocol}"), encoding="utf-8")
    print_found(figures, _shown(figures), as_json)
    if smoke and not figures["image_auroc"] >= SMOKE_AUROC:
        typer.echo(
            f"smoke: image AUROC {figures['image_auroc']:.3f} is below {SMOKE_AUROC}", err=True
        )
        raise typer.Exit(1)


def _dataset(folder: Path | None, protocol: str, most: int | None, smoke: bool) -> "Dataset":
    from lab.datasets.folders import load_dataset

    data = load_dataset(folder_or_smoke(folder, smoke), protocol)
    return data.limited(most) if most else data


def _shown(figures: dict[str, Any]) -> Iterator[RenderableType]:
    def between(interval: list[float]) -> str:
        return f"{interval[0]:.3f} to {interval[1]:.3f}"

    table = Table("figure", "value")
    for key in ("image_auroc", "image_aupr", "pixel_auroc", "aupro", "f1", "fpr", "peak_share"):
        table.add_row(key, f"{figures[key]:.4f}")
    interval = between(figures["fpr_interval"])
    table.add_row("fpr interval", f"{interval}; stands for {figures['rate']:.4f}")
    for batch, value in figures["images_per_s"].items():
        latency = figures["latency_ms"][batch]
        table.add_row(f"batch {batch}", f"{value:.1f} images/s, {latency:.1f} ms a call")
    yield table
    rows = [
        [name, str(own["images"])]
        + [f"{own[key]:.3f}" for key in ("image_auroc", "sensitivity")]
        + [between(own["sensitivity_interval"])]
        for name, own in figures["classes"].items()
    ]
    yield table_of(("class", "images", "AUROC", "found", "95 % interval"), rows)
    if "resplits" in figures:
        seen = figures["resplits"]
        yield (
            f"{seen['repeats']} resplits at {seen['asked']:.0%}: by part "
            f"{seen['by_part']['mean']:.3f}, by image {seen['by_image']['mean']:.3f}"
        )
    for peer, own in figures.get("against", {}).items():
        yield from _shown_peer(peer, own)


def _shown_peer(peer: str, own: dict[str, Any]) -> Iterator[RenderableType]:
    fitted = {name: row for name, row in own.items() if isinstance(row, dict)}
    rows = []
    for backbone, row in fitted.items():
        ranked = "-" if row["image_auroc"] is None else f"{row['image_auroc']:.3f}"
        speeds = [f"{v:.1f}" for b in ("batch_1", "batch_8") for v in row[b].values()]
        rows.append([f"{peer} {backbone} ({row['weights']} weights)", ranked, *speeds])
    headings = ("peer", "AUROC", "batch 1", "ours", "times", "batch 8", "ours", "times")
    yield table_of(headings, rows)
    yield f"AUROC on {own['test_images']} test images, where ours is {own['ours_image_auroc']:.3f}"
    banks = {row["bank_by"]: row["bank"] for row in fitted.values()}
    said = ", ".join(f"{rows} rows ({how} selection)" for how, rows in banks.items())
    yield f"images/s; {peer} on {own['train_images']} normals, a bank of {said}"
    if "random" in banks:
        yield "a random bank is searched as fast as a coreset of its size; its AUROC is its own"
