"""``andon benchmark expert``: accuracy, calibration, misses and speed on a data set."""

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from andon.commands._expert import ExpertCommandError, expert_errors, find_artifact, stage_bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluation.datasets import Dataset
    from serving.experts.composed import ComposedExpert

BATCHES = (1, 8, 16)


def expert(
    dataset: Annotated[
        Path, typer.Argument(help="MVTec-AD, VisA or plain-folder data set.", show_default=False)
    ],
    protocol: Annotated[
        str, typer.Option(help="full (as published) or disjoint (by part, needs parts.csv).")
    ] = "full",
    artifact: Annotated[
        Path | None,
        typer.Option(help="Measure this artifact; without it one is trained on the data set."),
    ] = None,
    rate: Annotated[float, typer.Option(help="False-alarm rate asked for when training.")] = 0.05,
    runtime: Annotated[str, typer.Option(help="auto, torch or openvino.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, f32 or bf16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: all).")] = None,
    most: Annotated[
        int | None, typer.Option(help="At most so many training images, and test images per class.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of timing per batch size.")] = 3.0,
    against: Annotated[str | None, typer.Option(help="A peer to run beside it: anomalib.")] = None,
    chart: Annotated[Path | None, typer.Option(help="Write an SVG chart here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure an expert; labels measure, they never choose."""
    from evaluation.datasets import load_dataset
    from evaluation.expert_benchmark import accuracy, resplit_calibration, score_set
    from evaluation.expert_benchmark import chart as draw

    data = load_dataset(dataset, protocol)
    data = data.limited(most) if most else data
    with expert_errors(), stage_bars() as report:
        ready = _ready(artifact, data, rate, (runtime, precision, device, threads), report)
        found = score_set(ready, data.test, report)
        figures = accuracy(found)
        unseen = [s for s in (*data.test, *data.left_out) if not s.anomalous]
        if len({s.group for s in unseen if s.group}) >= 20:
            scored = score_set(ready, unseen, report, maps=False)
            parts = [str(s.group) for s in unseen]
            figures["resplits"] = resplit_calibration(scored.scores, parts, rate)
        figures |= _speed(ready, data, seconds)
    figures |= _about(ready, data, protocol)
    if against is not None:
        figures["against"] = {against: _peer(against)(data, seconds)}
    if chart is not None:
        chart.write_text(draw(found, figures, f"{data.name}, {protocol}"), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)


def _ready(
    artifact: Path | None,
    data: "Dataset",
    rate: float,
    where: tuple[str, str, str, int | None],
    report: "Callable[[str, int, int], None]",
) -> "ComposedExpert":
    """The artifact, or a new one trained on the data set, loaded as it would be in production."""
    import tempfile

    from serving.experts.artifact import load_expert, save_artifact
    from serving.experts.composed import ComposedExpert
    from serving.experts.training import TrainOptions, train

    runtime, precision, device, threads = where
    if artifact is not None:
        loaded = load_expert(find_artifact(artifact), runtime, precision, device, threads)
    else:
        options = TrainOptions(false_alarm_rate=rate, device=device, threads=threads)
        groups = data.groups or None
        trained = train("benchmark", [s.path for s in data.train], options, groups, report)
        with tempfile.TemporaryDirectory() as folder:
            digest = save_artifact(trained, Path(folder))
            path = Path(folder) / "benchmark" / digest
            loaded = load_expert(path, runtime, precision, device, threads)
    if not isinstance(loaded, ComposedExpert):
        raise ExpertCommandError(f"an expert of kind {loaded.name!r} has no benchmark here yet")
    return loaded


def _speed(ready: "ComposedExpert", data: "Dataset", seconds: float) -> dict[str, Any]:
    from dataclasses import asdict

    from serving.experts.images import read_image
    from serving.experts.speed import flops_per_image, matrix_peak, measure_speed

    images = [read_image(s.path) for s in data.test[:32]]
    speeds = {b: measure_speed(ready, images, b, seconds) for b in BATCHES}
    flops, peak = flops_per_image(ready), matrix_peak(ready.choice)
    best = max(s.images_per_s for s in speeds.values())
    return {
        "images_per_s": {str(b): s.images_per_s for b, s in speeds.items()},
        "latency_ms": {str(b): s.latency_ms for b, s in speeds.items()},
        "peak_share": best * sum(flops.values()) / peak,
        "speed": {
            "batches": [asdict(s) for s in speeds.values()],
            "flops_per_image": flops,
            "matrix_peak_gflops": peak / 1e9,
            **asdict(ready.choice),
        },
    }


def _about(ready: "ComposedExpert", data: "Dataset", protocol: str) -> dict[str, Any]:
    calibration = ready.model.calibration
    return {
        "dataset": data.name,
        "protocol": protocol,
        "train_images": len(data.train),
        "test_images": len(data.test),
        "asked_rate": calibration.asked_rate,
        "rate": calibration.rate,
        "groups": calibration.groups,
        "roles": ready.model.roles,
        "map_heads": list(ready.model.map_heads),
        "precision": ready.model.trained.get("precision"),
        "version": ready.version,
    }


def _peer(name: str) -> "Callable[[Dataset, float], dict[str, Any]]":
    """``evaluation.peers.<name>.run(dataset, seconds)``, each in an environment of its own."""
    module = f"evaluation.peers.{name}"
    if (
        not name.isidentifier()
        or find_spec("evaluation.peers") is None
        or find_spec(module) is None
    ):
        raise ExpertCommandError(f"no peer {name!r}: there is no {module}")
    run: Callable[[Dataset, float], dict[str, Any]] = import_module(module).run
    return run


def _show(figures: dict[str, Any]) -> None:
    console = Console()
    table = Table("figure", "value")
    for key in ("image_auroc", "image_aupr", "pixel_auroc", "aupro", "f1", "fpr", "peak_share"):
        table.add_row(key, f"{figures[key]:.4f}")
    low, high = figures["fpr_interval"]
    table.add_row("fpr interval", f"{low:.3f} to {high:.3f}; stands for {figures['rate']:.4f}")
    for batch, value in figures["images_per_s"].items():
        latency = figures["latency_ms"][batch]
        table.add_row(f"batch {batch}", f"{value:.1f} images/s, {latency:.1f} ms a call")
    console.print(table)
    classes = Table("class", "images", "AUROC", "found", "95 % interval")
    for name, own in figures["classes"].items():
        low, high = own["sensitivity_interval"]
        classes.add_row(
            name,
            str(own["images"]),
            f"{own['image_auroc']:.3f}",
            f"{own['sensitivity']:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    console.print(classes)
    if "resplits" in figures:
        seen = figures["resplits"]
        console.print(
            f"{seen['repeats']} resplits at {seen['asked']:.0%}: by part "
            f"{seen['by_part']['mean']:.3f}, by image {seen['by_image']['mean']:.3f}"
        )
