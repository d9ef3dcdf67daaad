"""``andon benchmark expert``: accuracy, calibration, misses and speed on a data set."""

import atexit
import json
import shutil
import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import Field
from rich.console import Console
from rich.table import Table

from andon.cli.experts import ExpertCommandError, expert_errors, find_artifact, stage_bars
from andon.cli.options import Json, More, MoreOptions, read_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.datasets.folders import Dataset, Sample
    from lab.peers.anomalib_peer import AnomalibPeer
    from serving.experts.calibration import Scores
    from serving.experts.composed import ComposedExpert

BATCHES = (1, 8, 16)
SMOKE_AUROC = 0.9
"""Plain scratches on made-up images: below this something is broken."""
_ROUNDS = 3
_PEER_BATCHES = (1, 8)
_PEER_REPORT = 10
"""Images between two steps of the peer's progress bar."""


class ExpertOptions(MoreOptions):
    """The options of ``--set``."""

    runtime: str = Field("auto", description="auto, torch or openvino.")
    threads: int | None = Field(None, ge=1, description="CPU threads; without it, all.")
    seconds: float = Field(3.0, gt=0, description="Seconds of timing per batch size.")
    peer_images: int | None = Field(
        None, ge=1, description="Fit the peer on so many normals only; without it, on all."
    )
    peer_bank: Literal["random", "coreset"] = Field(
        "random",
        description="random: as many of its patches as its coreset would keep, which takes the "
        "same time to search; coreset: its own greedy selection, hours on a whole data set.",
    )
    peer_test: int = Field(
        30, ge=1, description="Test images per class that the peer's AUROC is taken from."
    )


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
    from lab.benchmarks.expert import accuracy, resplit_calibration, score_set
    from lab.benchmarks.expert import chart as draw

    chosen = read_options(ExpertOptions, more)
    data = _dataset(dataset, protocol, most, smoke)
    if smoke:
        chosen = chosen.model_copy(update={"seconds": min(chosen.seconds, 0.5)})
    with expert_errors(), stage_bars() as report:
        where = (chosen.runtime, precision, device, chosen.threads)
        ready = _ready(artifact, data, rate, where, report, smoke)
        found = score_set(ready, data.test, report)
        figures = accuracy(found)
        unseen = [s for s in (*data.test, *data.left_out) if not s.anomalous]
        if len({s.group for s in unseen if s.group}) >= 20:
            scored = score_set(ready, unseen, report, maps=False)
            parts = [str(s.group) for s in unseen]
            figures["resplits"] = resplit_calibration(scored.scores, parts, rate)
        figures |= _speed(ready, data, chosen.seconds)
        if against is not None:
            figures["against"] = {against: _beside(against, ready, data, chosen, report)}
    figures |= _about(ready, data, protocol)
    if chart is not None:
        chart.write_text(draw(found, figures, f"{data.name}, {protocol}"), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)
    if smoke and not figures["image_auroc"] >= SMOKE_AUROC:
        typer.echo(
            f"smoke: image AUROC {figures['image_auroc']:.3f} is below {SMOKE_AUROC}", err=True
        )
        raise typer.Exit(1)


def _dataset(folder: Path | None, protocol: str, most: int | None, smoke: bool) -> "Dataset":
    from lab.datasets.folders import load_dataset

    if smoke == (folder is not None):
        raise typer.BadParameter("give either a data set or --smoke")
    if folder is not None:
        data = load_dataset(folder, protocol)
        return data.limited(most) if most else data
    from lab.datasets.made_up import write_smoke_set

    made = Path(tempfile.mkdtemp(prefix="andon-smoke-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    write_smoke_set(made)
    return load_dataset(made, protocol)


def _ready(
    artifact: Path | None,
    data: "Dataset",
    rate: float,
    where: tuple[str, str, str, int | None],
    report: "Callable[[str, int, int], None]",
    smoke: bool = False,
) -> "ComposedExpert":
    """The artifact, or a new one trained on the data set, loaded as it would be in production."""
    from serving.experts.artifact import load_expert, save_artifact
    from serving.experts.composed import ComposedExpert
    from serving.experts.training import TrainOptions, train

    runtime, precision, device, threads = where
    if artifact is not None:
        loaded = load_expert(find_artifact(artifact), runtime, precision, device, threads)
    else:
        options = TrainOptions(false_alarm_rate=rate, device=device, threads=threads)
        if smoke:
            options = replace(options, synthetic=40, calibration_folds=3, coreset=96)
        groups = data.groups or None
        trained = train("benchmark", [s.path for s in data.train], options, groups, report)
        with tempfile.TemporaryDirectory() as folder:
            digest = save_artifact(trained, Path(folder))
            path = Path(folder) / "benchmark" / digest
            loaded = load_expert(path, runtime, precision, device, threads)
    if not isinstance(loaded, ComposedExpert):
        raise ExpertCommandError(
            f"an artifact of kind {loaded.name!r} is not measured here, only 'patchcore' is; "
            "docs/ddad.md says how DDAD is measured"
        )
    return loaded


def _speed(ready: "ComposedExpert", data: "Dataset", seconds: float) -> dict[str, Any]:
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


def _beside(
    name: str,
    ready: "ComposedExpert",
    data: "Dataset",
    chosen: ExpertOptions,
    report: "Callable[[str, int, int], None]",
) -> dict[str, Any]:
    """The peer's figures by backbone, its timing in turn with ours, round by round.

    With random weights it is only timed: its AUROC would say nothing.
    """
    if name != "anomalib":
        raise ExpertCommandError(f"no peer {name!r}; there is 'anomalib'")
    from lab.benchmarks.expert import score_set
    from lab.peers import anomalib_peer as peer

    most, bank = chosen.peer_images, chosen.peer_bank
    python = peer.install()
    train = [s.path for s in (data.limited(most) if most else data).train]
    timing = [s.path for s in data.test[:16]]
    test = data.limited(chosen.peer_test).test
    found: dict[str, Any] = {
        "train_images": len(train),
        "test_images": len(test),
        "ours_image_auroc": _ranked(score_set(ready, test, report, maps=False).scores, test),
    }
    for backbone in peer.BACKBONES:
        report(f"{backbone}: fit", 0, 1)
        with peer.fitted(python, backbone, train, timing, ready.choice.threads, bank) as other:
            report(f"{backbone}: fit", 1, 1)
            speeds = _timed_in_turn(
                ready, other, timing, chosen.seconds, partial(report, f"{backbone}: time")
            )
            found[backbone] = {**other.about, **speeds}
            ranked = None
            if other.about["weights"] != "random":
                scores: list[float] = []
                for start in range(0, len(test), _PEER_REPORT):
                    scores += other.scores([s.path for s in test[start : start + _PEER_REPORT]])
                    report(f"{backbone}: score", len(scores), len(test))
                ranked = _ranked(scores, test)
            found[backbone]["image_auroc"] = ranked
    return found


def _ranked(scores: "Sequence[float] | Scores", test: "Sequence[Sample]") -> float:
    from lab.metrics import image_auroc

    return image_auroc(scores, [s.anomalous for s in test])


def _timed_in_turn(
    ready: "ComposedExpert",
    other: "AnomalibPeer",
    timing: "Sequence[Path]",
    seconds: float,
    report: "Callable[[int, int], None]",
) -> dict[str, Any]:
    from serving.experts.images import read_image
    from serving.experts.speed import measure_speed

    images = [read_image(path) for path in timing]
    figures: dict[str, Any] = {}
    for step, batch in enumerate(_PEER_BATCHES):
        ours, theirs = [], []
        for turn in range(_ROUNDS):
            report(step * _ROUNDS + turn, len(_PEER_BATCHES) * _ROUNDS)
            ours.append(measure_speed(ready, images, batch, seconds).images_per_s)
            theirs.append(batch / median(other.times(batch, seconds)))
        figures[f"batch_{batch}"] = {
            "images_per_s": median(theirs),
            "ours_images_per_s": median(ours),
            "times_faster": median(ours) / median(theirs),
        }
    report(1, 1)
    return figures


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
    for peer, own in figures.get("against", {}).items():
        table = Table("peer", "AUROC", "batch 1", "ours", "times", "batch 8", "ours", "times")
        for backbone, row in own.items():
            if isinstance(row, dict):
                cells = [
                    f"{row[b][k]:.1f}"
                    for b in ("batch_1", "batch_8")
                    for k in ("images_per_s", "ours_images_per_s", "times_faster")
                ]
                name = f"{peer} {backbone} ({row['weights']} weights)"
                ranked = row["image_auroc"]
                table.add_row(name, "-" if ranked is None else f"{ranked:.3f}", *cells)
        console.print(table)
        console.print(
            f"AUROC on {own['test_images']} test images, where ours is "
            f"{own['ours_image_auroc']:.3f}"
        )
        banks = {r["bank_by"]: r["bank"] for r in own.values() if isinstance(r, dict)}
        said = ", ".join(f"{rows} rows ({how} selection)" for how, rows in banks.items())
        console.print(f"images/s; {peer} on {own['train_images']} normals, a bank of {said}")
        if "random" in banks:
            console.print(
                "a random bank is searched as fast as a coreset of its size; its AUROC is its own"
            )
