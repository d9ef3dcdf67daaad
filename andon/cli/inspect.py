"""``andon inspect``: score photographs with a trained expert, and draw what it saw."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from andon.cli.experts import artifact_root, expert_errors, find_artifact, list_inputs

if TYPE_CHECKING:
    from serving.experts.expert import Expert
    from serving.experts.types import Image, Scored

app = typer.Typer(add_completion=False)
_BATCH = 8


@app.command()
def inspect_command(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    artifact: Annotated[
        Path | None,
        typer.Option("--artifact", "-a", help="Artifact folder, or a product's folder."),
    ] = None,
    product: Annotated[
        str | None, typer.Option("--product", "-p", help="Newest artifact of this product.")
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Write a picture per image here: contours and heat map.")
    ] = None,
    mm_per_pixel: Annotated[
        float | None, typer.Option(min=1e-6, help="Scale of the station: adds areas in mm2.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="auto, torch or openvino.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, f32, bf16, or fp16 on CUDA.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Score images; exit code 1 when one of them cannot be decoded."""
    if (artifact is None) == (product is None):
        raise typer.BadParameter("give either --artifact or --product")
    from serving.experts.artifact import load_expert

    given = artifact if artifact is not None else artifact_root() / str(product)
    paths = list_inputs(images)
    with expert_errors():
        expert = load_expert(find_artifact(given), runtime, precision, device)
    if maps is not None:
        maps.mkdir(parents=True, exist_ok=True)
    rows = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("inspect", total=len(paths))
        for path, image, scored, error in _score_all(expert, paths):
            rows.append(_row(path, scored, error, mm_per_pixel))
            if error is not None:
                typer.echo(error, err=True)
            if maps is not None and image is not None and scored is not None:
                _draw(image, scored, maps / f"{path.parent.name}_{path.stem}.png")
            bar.advance(task)
    typer.echo(json.dumps(rows)) if as_json else _show(rows)
    if any(row["error"] for row in rows):
        raise typer.Exit(1)


def _score_all(
    expert: "Expert", paths: Sequence[Path]
) -> Iterator[tuple[Path, "Image | None", "Scored | None", str | None]]:
    """Each path with its answer, or with why it has none; decoding one batch at a time."""
    from serving.experts.errors import UndecodableImage
    from serving.experts.images import read_image

    for start in range(0, len(paths), _BATCH):
        decoded: dict[Path, Image] = {}
        errors: dict[Path, str] = {}
        for path in paths[start : start + _BATCH]:
            try:
                decoded[path] = read_image(path)
            except UndecodableImage as error:
                errors[path] = str(error)
        answers = dict(zip(decoded, expert.score(list(decoded.values())), strict=True))
        for path in paths[start : start + _BATCH]:
            yield path, decoded.get(path), answers.get(path), errors.get(path)


def _row(
    path: Path, scored: "Scored | None", error: str | None, mm_per_pixel: float | None
) -> dict[str, Any]:
    if scored is None:
        return {"image": str(path), "verdict": "undecodable", "error": error}
    row: dict[str, Any] = {
        "image": str(path),
        "verdict": "anomalous" if scored.anomalous else "normal",
        "score": scored.score,
        "threshold": scored.threshold,
        "p_value": scored.p_value,
        "heads": dict(scored.heads),
        "region": None,
        "error": None,
    }
    if scored.region is not None:
        row["region"] = {
            "area_px": scored.region.area_px,
            "longest_side_px": scored.region.longest_side_px,
            "contrast": scored.region.contrast,
            "blobs": [
                {
                    "box": list(b.box),
                    "area_px": b.area_px,
                    "longest_side_px": b.longest_side_px,
                    "centroid": list(b.centroid),
                    "peak": b.peak,
                }
                for b in scored.region.blobs
            ],
        }
        if mm_per_pixel is not None:
            row["region"]["area_mm2"] = scored.region.area_px * mm_per_pixel**2
    return row


def _draw(image: "Image", scored: "Scored", path: Path) -> None:
    from serving.experts.pictures import save_picture, side_by_side

    save_picture(side_by_side(image, scored), str(path))


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = Table("image", "verdict", "score", "threshold", "p", "pieces", "area px")
    for row in rows:
        if row["error"]:
            table.add_row(row["image"], "[red]undecodable[/red]", "", "", "", "", "")
            continue
        region = row["region"] or {"blobs": [], "area_px": 0}
        colour = "red" if row["verdict"] == "anomalous" else "green"
        table.add_row(
            row["image"],
            f"[{colour}]{row['verdict']}[/{colour}]",
            f"{row['score']:.3f}",
            f"{row['threshold']:.3f}",
            f"{row['p_value']:.4f}",
            str(len(region["blobs"])),
            f"{region['area_px']:.0f}",
        )
    Console().print(table)
