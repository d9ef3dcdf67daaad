"""``andon classify``: teach the local classifier from labelled pictures, and ask it."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field
from rich.console import Console, RenderableType
from rich.progress import track

from andon.cli.exemplar_folders import mask_in
from andon.cli.experts import find_artifact, list_inputs, list_normals, parts_near, parts_of
from andon.cli.moved_pictures import MovedPicture, moved_by, tell_moved
from andon.cli.options import (
    Json,
    More,
    MoreOptions,
    Product,
    group,
    listed,
    plant_name,
    read_options,
    writable_folder,
)
from andon.cli.printing import plain, print_found, table_of_rows
from andon.cli.rates import gained_table
from andon.cli.reviewed_lessons import reviewed_lessons
from andon.settings import load_settings
from andon.wiring import opened, storage
from history.filters import FrameFilter
from serving.bundles import digest_of
from serving.experts.images import read_image
from serving.naming.exemplars import describe, latest, load_bundle
from serving.naming.false_alarms import FEWEST_PARTS
from serving.naming.teaching import Lesson, Outliner, outliner, teach_product
from streams.errors import AndonError
from streams.events import Classification, Inspection
from streams.ids import new_frame_id
from streams.ports import ClassificationRequest, ClassificationTexts, ClassText, Failure
from streams.regions import region_from_mask

if TYPE_CHECKING:
    from andon.cli.taught_experts import TaughtExpert

app = group("Teach the local classifier and ask it.")

Masks = Annotated[
    Path | None, typer.Option(help="Folder of masks: <stem>.png or <stem>_mask.png, > 127.")
]
Root = Annotated[
    Path | None, typer.Option("--exemplars", help="Folder of bundles (default: the settings').")
]
Artifact = Annotated[
    Path | None, typer.Option("--artifact", help="Expert that outlines the regions.")
]


class TeachingError(AndonError):
    """The pictures, masks or folders given to ``andon classify`` cannot be used."""


class TeachingMoreOptions(MoreOptions):
    """Options of ``classify teach`` that are given by ``--set``."""

    expert: bool = Field(
        True, description="Teach the expert too, as a new version, and calibrate both together."
    )
    onto: str | None = Field(
        None, description="Digest of the exemplars that are added to; without, those in force."
    )


@app.command("teach", epilog=listed(TeachingMoreOptions))
def teach_command(
    product: Product,
    images: Annotated[
        list[Path] | None, typer.Argument(help="Picture files, or folders of them.")
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", "-c", callback=plant_name, help="What the pictures show."),
    ] = None,
    masks: Masks = None,
    normals: Annotated[
        Path | None, typer.Option(help="Folder of normal pictures; once per product.")
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option(help="CSV of path and part; else the parts.csv beside or above the pictures."),
    ] = None,
    from_history: Annotated[
        bool, typer.Option("--from-history", help="Take the parts that people reviewed.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=64, help="Most reviewed parts taken of one class.")
    ] = 20,
    artifact: Artifact = None,
    root: Root = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Add labelled examples: of one class from pictures, or of any from reviews.

    One to five pictures of different parts are enough for a class. They also teach the product's
    expert in force, or that of --artifact, as a new version; `andon models use` puts both in force.
    A picture that was taught under another class changes it, which is said and in the audit.
    """
    from andon.cli import taught_experts

    chosen = read_options(TeachingMoreOptions, more)
    folder = _writable_root(root)
    with taught_experts.one_teacher(folder, product):
        expert = taught_experts.expert_to_teach(product, artifact)
        before = taught_experts.bundle_to_teach(folder, product, chosen.onto)
        shown = list_normals(normals) if normals else []
        named = list_inputs(images or [])
        given, pictures = [*(images or []), *([normals] if normals else [])], [*named, *shown]
        part_of = parts_of(parts, pictures) if parts else parts_near(given, pictures)
        if from_history:
            lessons = asyncio.run(_reviewed(product, class_name, limit))
        elif images and class_name is not None:
            lessons = _shown_lessons(class_name, named, masks, part_of)
        else:
            raise typer.BadParameter("pictures and --class are needed, or --from-history")
        normal, normal_parts = [f.read_bytes() for f in shown], [part_of.get(f, "") for f in shown]
        moved = moved_by(before, lessons)
        taught_experts.hold_exemplars(folder, product)
        path = teach_product(
            folder,
            product,
            lessons,
            normals=normal,
            normal_parts=normal_parts,
            outline=None if expert is None else outliner(expert),
            onto=before,
        )
        taught = None
        if expert is not None and chosen.expert:
            taught = taught_experts.teach_expert(path, expert, normal, normal_parts)
    tell_moved(product, moved)
    made = taught.made.exemplars if taught else path
    waits = taught.waits if taught else ""
    waits = waits or taught_experts.waiting_exemplars(folder, product, made)
    _show_bundle(made, as_json, taught, waits, moved)


def _shown_lessons(
    class_name: str, pictures: Sequence[Path], masks: Path | None, part_of: Mapping[Path, str]
) -> list[Lesson]:
    """A lesson from each picture; masks that mark nothing are told."""
    lessons = [_lesson(class_name, file, masks, part_of.get(file)) for file in pictures]
    unmarked = sum(lesson.mask is not None and not lesson.mask.any() for lesson in lessons)
    if unmarked:
        typer.echo(f"{masks}: {unmarked} masks mark nothing and count as absent", err=True)
    return lessons


def _writable_root(given: Path | None) -> Path:
    kept = load_settings().paths.exemplars
    if given is None and "://" in kept:
        raise TeachingError(
            f"ANDON_PATHS__EXEMPLARS is {kept}: give a folder (--exemplars) and copy it"
        )
    return writable_folder(given or Path(kept), "--exemplars")


async def _reviewed(product: str, class_name: str | None, limit: int) -> list[Lesson]:
    """Lessons from the reviews in the history of a product."""
    settings = load_settings()
    wanted = FrameFilter(product=product, reviewed=True)
    async with (
        opened(storage.history, settings) as history,
        opened(storage.image_store, settings) as store,
    ):
        lessons = await reviewed_lessons(history, store, wanted, class_name, limit)
    if not lessons:
        raise TeachingError(f"{product}: no reviewed frame with a class and a kept picture")
    return lessons


@app.command()
def show(product: Product, root: Root = None, as_json: Json = False) -> None:
    """Show what the local classifier was taught of a product."""
    _show_bundle(_latest(root, product), as_json)


@app.command()
def ask(
    product: Product,
    images: Annotated[list[Path], typer.Argument(help="Picture files, or folders of them.")],
    artifact: Artifact = None,
    masks: Masks = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Name the anomaly on pictures, as the line would."""
    bundle = _latest(root, product)
    outline = None if artifact is None else outliner(find_artifact(artifact))
    found = asyncio.run(_ask(product, bundle, list_inputs(images), masks, outline))
    rows = [
        {
            "image": str(file),
            "class": answer.class_name,
            "confidence": round(answer.confidence, 4),
            "candidates": {k: round(v, 4) for k, v in answer.candidates.items()},
            "reason": answer.unknown_reason,
            "ms": round(answer.latency_ms, 2),
            "exemplars": answer.exemplars_version,
        }
        for file, answer in found
    ]
    cells = (
        (
            plain(str(file)),
            plain(a.class_name),
            f"{a.confidence:.2f}",
            f"{a.latency_ms:.0f}",
            plain(a.unknown_reason),
        )
        for file, a in found
    )
    columns = ("picture", "class", "confidence", "ms", "why unknown")
    print_found(rows, [table_of_rows(columns, cells)], as_json)


async def _ask(
    product: str,
    bundle: Path,
    files: Sequence[Path],
    masks: Path | None,
    outline: Outliner | None,
) -> list[tuple[Path, Classification]]:
    from serving.naming.prototypes import PrototypeClassifier

    classes = tuple(ClassText(c, c, "") for c in load_bundle(bundle).classes)
    texts = ClassificationTexts(product, "", classes=classes)
    classifier = PrototypeClassifier({product: bundle}, refine=masks is None)
    await classifier.start()
    answers = []
    try:
        for file in track(files, "asking", console=Console(stderr=True), transient=True):
            image = await asyncio.to_thread(read_image, file)
            mask = None if masks is None else mask_in(masks, file, image)
            if mask is None and outline is not None:
                mask = await asyncio.to_thread(outline, file.read_bytes())
            inspection = Inspection(
                score=1,
                threshold=0,
                p_value=0,
                anomalous=True,
                region=region_from_mask(mask, *image.shape[:2]) if mask is not None else None,
                expert_version="",
            )
            deadline = datetime.now(UTC) + timedelta(seconds=60)
            request = ClassificationRequest(
                new_frame_id(), file.read_bytes(), inspection, texts, deadline
            )
            answer = await classifier.classify(request, timeout_s=60)
            if isinstance(answer, Failure):
                raise TeachingError(f"{file}: {answer.message}")
            answers.append((file, answer))
    finally:
        await classifier.close()
    return answers


def _lesson(class_name: str, file: Path, masks: Path | None, part: str | None) -> Lesson:
    """A photograph whose part nobody said is a part of its own, whatever other files are called."""
    image = file.read_bytes()
    mask = None if masks is None else mask_in(masks, file, read_image(file))
    own = f"{file.name} {digest_of(image)[:12]}"
    return Lesson(class_name, image, mask, part or own, str(file))


def _latest(root: Path | None, product: str) -> Path:
    folder = root or Path(load_settings().paths.exemplars)
    path = latest(folder, product)
    if path is None:
        raise TeachingError(
            f"{folder}: nothing was taught yet of {product!r}; "
            f"andon classify teach --product {shlex.quote(product)} --class NAME IMAGES..."
        )
    return path


def _show_bundle(
    path: Path,
    as_json: bool,
    taught: "TaughtExpert | None" = None,
    waits: str = "",
    moved: Sequence[MovedPicture] = (),
) -> None:
    bundle = load_bundle(path)
    by_class = {name: bundle.of_class(name) for name in bundle.classes}
    table = table_of_rows(
        ("class", "examples", "parts"),
        (
            (plain(n), str(len(e)), str(len({s.part or s.sha256 for s in e})))
            for n, e in by_class.items()
        ),
        title=f"{plain(bundle.product_id)}  {bundle.digest[:12]}",
    )
    counted = f"{len(bundle.normals)} normal pictures, {len(bundle.hard)} hard ones"
    shown: list[RenderableType] = [table, f"{counted}; {plain(str(path))}"]
    if bundle.gate is not None and bundle.odd_parts < FEWEST_PARTS:
        shown.append(
            f"the expert finds {bundle.odd_parts} normal parts odd, of {FEWEST_PARTS} that expert "
            "and classifier are calibrated together on: a policy's stop_rate compares the "
            "expert's p-value alone (train it for a higher --rate, or on more parts)"
        )
    if taught:
        gained = taught.made.gained
        shown.append(gained_table(gained["at_rates"], gained["classes"]))
        shown.append(
            f"taught expert: {plain(str(taught.made.expert))}, made from {taught.made.base[:12]}"
        )
    shown += [plain(waits)] if waits else []
    body = {
        **describe(bundle),
        "path": str(path),
        **({"taught": taught.as_json()} if taught else {}),
        **({"waits": waits} if waits else {}),
        **({"moved": [asdict(each) for each in moved]} if moved else {}),
    }
    print_found(body, shown, as_json)
