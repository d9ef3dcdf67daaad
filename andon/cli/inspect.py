"""``andon inspect``: score photographs with a trained expert, and draw what it saw."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from andon.cli.experts import artifact_root, find_artifact, list_inputs, product_artifacts
from andon.cli.options import Json, plant_name, writable_folder
from andon.cli.output_names import output_names
from andon.cli.printing import plain, print_found, table_of_rows
from serving.experts.errors import UndecodableImage
from serving.experts.images import read_image
from serving.experts.pictures import save_picture, side_by_side
from serving.experts.types import Image, Scored

if TYPE_CHECKING:
    from serving.experts.expert import Expert

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
        str | None,
        typer.Option(
            "--product",
            "-p",
            callback=plant_name,
            help="Newest artifact of this product, in force or not.",
        ),
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
    as_json: Json = False,
) -> None:
    """Score images; exit code 1 when one of them cannot be decoded."""
    if (artifact is None) == (product is None):
        raise typer.BadParameter("give either --artifact or --product")
    if maps is not None:
        writable_folder(maps, "--maps")
    from serving.experts.artifact import load_expert

    given = artifact if artifact is not None else product_artifacts(artifact_root(), str(product))
    paths = list_inputs(images)
    expert = load_expert(find_artifact(given), runtime, precision, device)
    names = output_names(paths)
    rows: list[dict[str, object]] = []
    cells: list[tuple[str, ...]] = []
    answers, bar_on = _score_all(expert, paths), Console(stderr=True)
    for path, image, scored, error in track(
        answers, "inspect", len(paths), console=bar_on, transient=True
    ):
        if image is None or scored is None:
            typer.echo(error, err=True)
            rows.append({"image": str(path), "verdict": "undecodable", "error": error})
            cells.append((plain(str(path)), "[red]undecodable[/red]"))
            continue
        rows.append(_as_json(path, scored, mm_per_pixel))
        cells.append((plain(str(path)), *_cells(scored)))
        if maps is not None:
            save_picture(side_by_side(image, scored), str(maps / names[path]))
    columns = ("image", "verdict", "score", "threshold", "p", "pieces", "area px")
    print_found(rows, [table_of_rows(columns, cells)], as_json)
    if any(row["verdict"] == "undecodable" for row in rows):
        raise typer.Exit(1)


def _score_all(
    expert: "Expert", paths: Sequence[Path]
) -> Iterator[tuple[Path, Image | None, Scored | None, str | None]]:
    """Each path with its answer, or with why it has none; decoding one batch at a time."""
    for start in range(0, len(paths), _BATCH):
        decoded: dict[Path, Image] = {}
        errors: dict[Path, str] = {}
        for path in paths[start : start + _BATCH]:
            try:
                decoded[path] = read_image(path, expert.bit_depth)
            except UndecodableImage as error:
                errors[path] = str(error)
        answers = dict(zip(decoded, expert.score(list(decoded.values())), strict=True))
        for path in paths[start : start + _BATCH]:
            yield path, decoded.get(path), answers.get(path), errors.get(path)


def _as_json(path: Path, scored: Scored, mm_per_pixel: float | None) -> dict[str, object]:
    region = scored.region
    found: dict[str, object] | None = None
    if region is not None:
        found = {name: getattr(region, name) for name in ("area_px", "longest_side_px", "contrast")}
        found["blobs"] = [asdict(blob) for blob in region.blobs]
        if mm_per_pixel is not None:
            found["area_mm2"] = region.area_px * mm_per_pixel**2
    return {
        "image": str(path),
        "verdict": "anomalous" if scored.anomalous else "normal",
        "score": scored.score,
        "threshold": scored.threshold,
        "p_value": scored.p_value,
        "heads": dict(scored.heads),
        "region": found,
        "error": None,
    }


def _cells(scored: Scored) -> tuple[str, ...]:
    """Verdict, figures and region for the table."""
    pieces, area = (0, 0.0)
    if scored.region is not None:
        pieces, area = len(scored.region.blobs), scored.region.area_px
    verdict = "[red]anomalous[/red]" if scored.anomalous else "[green]normal[/green]"
    figures = f"{scored.score:.3f}", f"{scored.threshold:.3f}", f"{scored.p_value:.4f}"
    return (verdict, *figures, str(pieces), f"{area:.0f}")
