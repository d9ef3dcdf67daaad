"""``andon train``: normal photographs in, a calibrated expert out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from andon.cli.experts import (
    artifact_root,
    expert_errors,
    list_inputs,
    read_groups,
    stage_bars,
)

if TYPE_CHECKING:
    from serving.experts.composed import ComposedExpert
    from serving.experts.ddad.expert import DdadExpert

app = typer.Typer(add_completion=False)


@app.command()
def train_command(
    product: Annotated[str, typer.Option("--product", "-p", help="The product, as in its policy.")],
    images: Annotated[
        Path, typer.Option("--images", "-i", help="Folder of photographs of normal parts.")
    ],
    expert: Annotated[str, typer.Option(help="patchcore or ddad.")] = "patchcore",
    rate: Annotated[
        float, typer.Option(help="False-alarm rate asked for, 0 to 0.5 (share of normal parts).")
    ] = 0.01,
    groups: Annotated[
        Path | None,
        typer.Option(help="CSV (path, part): photographs of one part are held out together."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of artifacts (default: the settings').")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    backbone: Annotated[
        str, typer.Option(help="efficientnet_lite0, efficientnet_lite2 or any timm model.")
    ] = "efficientnet_lite0",
    size: Annotated[int, typer.Option(help="Side of the network's input, pixels.")] = 256,
    tiles: Annotated[
        bool, typer.Option("--tiles", help="Overlapping tiles: small defects on large images.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: all).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    resume: Annotated[
        Path | None,
        typer.Option(help="ddad: folder of checkpoints, continued from when one is there."),
    ] = None,
    unet: Annotated[
        str, typer.Option(help="ddad: published (33 M), published_s, small; auto: by device.")
    ] = "auto",
    epochs: Annotated[
        int | None, typer.Option(help="ddad: passes over the normals (default: by --unet).")
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(help="patchcore: write the oddest normals as pictures here, to look at."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a vision expert on normal images and calibrate its threshold.

    Says what share of synthetic anomalies the threshold finds, and which normals set it.
    """
    from serving.experts.artifact import save_artifact
    from serving.experts.ddad.options import DdadOptions
    from serving.experts.training import TrainOptions, train

    paths = list_inputs([images])
    parts = read_groups(images, groups)
    with expert_errors(), stage_bars() as report:
        options = TrainOptions(
            expert=expert,
            false_alarm_rate=rate,
            backbone=backbone,
            size=size,
            tiles=tiles,
            seed=seed,
            device=device,
            threads=threads,
            ddad=DdadOptions(unet=unet, epochs=epochs) if expert == "ddad" else None,
        )
        trained = train(product, paths, options, parts, report, resume)
        root = out or artifact_root()
        digest = save_artifact(trained, root)
    path = root / product / digest
    if review is not None:
        _write_review(trained, paths, review)
    if as_json:
        typer.echo(json.dumps({"artifact": str(path), "digest": digest, **_summary(trained)}))
    else:
        _show(trained, path)


def _summary(trained: "ComposedExpert | DdadExpert") -> dict[str, object]:
    calibration = trained.model.calibration
    return {
        "product": trained.product,
        "expert": trained.name,
        "heads": list(getattr(trained.model, "heads", ())),
        "threshold": calibration.threshold,
        "asked_rate": calibration.asked_rate,
        "rate": calibration.rate,
        **trained.model.trained,
    }


def _show(trained: "ComposedExpert | DdadExpert", path: Path) -> None:
    console = Console()
    table = Table(show_header=False, box=None)
    for key, value in _summary(trained).items():
        if not isinstance(value, dict) and key != "warnings":
            table.add_row(key, ", ".join(value) if isinstance(value, list) else str(value))
    console.print(table)
    report = trained.model.trained.get("sensitivity")
    if report is not None:
        _show_sensitivity(console, report)
    for warning in trained.model.trained.get("warnings", []):
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    typer.echo(str(path))


def _show_sensitivity(console: Console, report: dict[str, Any]) -> None:
    found = Table("synthetic anomaly", "found", title="at this threshold", title_justify="left")
    for kind, share in report["by_kind"].items():
        found.add_row(kind, f"{share:.0%}")
    found.add_row("local kinds, mean", f"{report['local']:.0%}", style="bold")
    rates = Table("--rate", "stands for", "threshold", "local found", title="at other rates")
    for row in report["at_rates"]:
        rates.add_row(
            f"{row['asked_rate']:g}",
            f"{row['rate']:.4f}",
            f"{row['threshold']:.3f}",
            f"{row['local']:.0%}",
        )
    console.print(found, rates)


def _write_review(
    trained: "ComposedExpert | DdadExpert", paths: Sequence[Path], folder: Path
) -> None:
    """The oddest normals with maps from heads that had not seen them, oddest first."""
    from serving.experts.images import read_image
    from serving.experts.pictures import save_picture, side_by_side
    from serving.experts.regions import make_region
    from serving.experts.types import Scored

    folder.mkdir(parents=True, exist_ok=True)
    calibration = trained.model.calibration
    maps = getattr(trained, "held_out_maps", {})
    for i, entry in enumerate(trained.model.trained.get("sensitivity", {}).get("oddest", [])):
        values = maps[entry["file"]]
        image = read_image(next(p for p in paths if p.as_posix().endswith(entry["file"])))
        height, width = image.shape[:2]
        above = entry["score"] > calibration.threshold
        region = make_region(values, 1.0, height, width)
        scored = Scored(
            entry["score"],
            calibration.threshold,
            calibration.p_value(entry["score"]),
            above,
            values,
            region,
            height,
            width,
        )
        name = f"{i + 1:02d}_{entry['score']:.2f}_{Path(entry['file']).stem}.png"
        save_picture(side_by_side(image, scored), str(folder / name))
