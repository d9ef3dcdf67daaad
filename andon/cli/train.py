"""``andon train``: normal photographs in, a calibrated expert out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from andon.cli.exemplar_folders import LabelledFile, list_exemplars, read_exemplars, read_mask
from andon.cli.experts import (
    ExpertCommandError,
    artifact_root,
    list_normals,
    product_artifacts,
    read_groups,
    stage_bars,
    waiting_words,
)
from andon.cli.options import (
    Json,
    More,
    MoreOptions,
    Product,
    listed,
    read_options,
    writable_folder,
)
from andon.cli.printing import plain, print_found, table_of_rows
from andon.cli.rates import advice, read_prices, taught_table, write_rate_chart
from andon.learning.alone import hold_where_asked
from andon.settings import load_settings
from andon.wiring import storage
from serving.experts.images import read_image
from serving.experts.oddest import draw_oddest
from serving.experts.pictures import save_picture
from serving.experts.tradeoff import recommend
from serving.memory import keep_memory

if TYPE_CHECKING:
    from serving.experts.composed import ComposedExpert
    from serving.experts.ddad.expert import DdadExpert

app = typer.Typer(add_completion=False)


_OF_DDAD = {"unet", "epochs"}
_OF_TRAINING = {"size", "tiles", "threads", "seed", "bit_depth"}


class Training(MoreOptions):
    """Options of ``train`` that are given by ``--set``."""

    size: int = Field(256, description="Side of the network's input, pixels.")
    tiles: bool = Field(False, description="Overlapping tiles: small defects on large images.")
    threads: int | None = Field(None, description="CPU threads; without it, all.")
    bit_depth: int | None = Field(
        None, description="Bits of the camera in 16-bit files; without it, counted."
    )
    seed: int = Field(0, description="Seed of every random choice.")
    unet: str = Field("auto", description="ddad: published (33 M), published_s, small, auto.")
    epochs: int | None = Field(None, description="ddad: passes over the normals.")
    exemplars: Path | None = Field(
        None, description="Labelled defects to teach, one folder for each class."
    )
    masks: Path | None = Field(
        None, description="Their masks, laid out alike: <class>/<stem>.png or <stem>_mask.png."
    )
    chart: Path | None = Field(
        None, description="With exemplars: an SVG of what each rate costs and finds."
    )
    policy: Path | None = Field(
        None, description="With exemplars: a policy whose prices recommend a rate."
    )


@app.command(epilog=listed(Training))
def train_command(
    product: Product,
    images: Annotated[
        Path, typer.Option("--images", "-i", help="Folder of photographs of normal parts.")
    ],
    expert: Annotated[str, typer.Option(help="patchcore or ddad.")] = "patchcore",
    rate: Annotated[
        float, typer.Option(help="False-alarm rate asked for, 0 to 0.5 (share of normal parts).")
    ] = 0.01,
    groups: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV (path, part): photographs of one part are held out together.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of artifacts (default: the settings').")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    backbone: Annotated[
        str, typer.Option(help="efficientnet_lite0, efficientnet_lite2 or any timm model.")
    ] = "efficientnet_lite0",
    resume: Annotated[
        Path | None,
        typer.Option(help="ddad: folder of checkpoints, continued from when one is there."),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(help="patchcore: write the oddest normals as pictures here, to look at."),
    ] = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Train a vision expert on normal images and calibrate its threshold.

    Says what share of synthetic anomalies the threshold finds, and which normals set it. A product
    for which a version was put in force keeps it until `andon models use`; else the new one is in
    force, but with `ANDON_CONSOLE__SECOND_PERSON=always` only where it is the product's first.
    """
    from serving.experts.artifact import save_artifact
    from serving.experts.ddad.options import DdadOptions
    from serving.experts.training import TrainOptions, train

    keep_memory()
    chosen = read_options(Training, more)
    _check_before(expert, chosen, out, review)
    folder = product_artifacts(out or artifact_root(), product)
    paths = list_normals(images)
    parts = read_groups(images, groups, paths)
    defects = _labelled(chosen, groups)
    with stage_bars() as report:
        options = TrainOptions(
            expert=expert,
            false_alarm_rate=rate,
            backbone=backbone,
            device=device,
            ddad=DdadOptions(**chosen.model_dump(include=_OF_DDAD)) if expert == "ddad" else None,
            **chosen.model_dump(include=_OF_TRAINING),
        )
        trained = train(product, paths, options, parts, report, resume)
        if defects:
            trained = _taught(trained, defects, report)
        hold_where_asked(load_settings(), storage.bundle_store(str(folder.parent)), product)
        digest = save_artifact(trained, folder.parent)
    path = folder / digest
    if review is not None:
        _write_review(trained, paths, review)
    waits = waiting_words(folder.parent, product, digest)
    body = {"artifact": str(path), "digest": digest, "in_force": not waits, **_summary(trained)}
    shown = [*_shown(trained, path), *_chosen_rate(trained, chosen, body)]
    shown += [Text(waits, style="yellow")] if waits else []
    print_found(body, shown, as_json)


def _labelled(chosen: Training, groups: Path | None) -> list[LabelledFile]:
    """The defects to teach; tried before the training, which a mask of another size would spoil."""
    if chosen.policy is not None:
        read_prices(chosen.policy)
    if chosen.exemplars is None:
        return []
    found = list_exemplars(chosen.exemplars, chosen.masks, groups)
    for file in found:
        read_mask(file, read_image(file.path, chosen.bit_depth))
    return found


def _taught(
    trained: "ComposedExpert | DdadExpert",
    defects: Sequence[LabelledFile],
    report: Callable[[str, int, int], None],
) -> "ComposedExpert":
    from serving.experts.composed import ComposedExpert
    from serving.experts.teaching import teach

    if not isinstance(trained, ComposedExpert):
        raise ExpertCommandError(f"an expert of kind {trained.name!r} cannot be taught")
    return teach(trained, read_exemplars(defects, trained.bit_depth), report)


def _chosen_rate(
    trained: "ComposedExpert | DdadExpert", chosen: Training, body: dict[str, object]
) -> Iterator[str]:
    """Draw the trade-off and say the cheapest rate, where that was asked for."""
    rows = trained.model.trained.get("taught", {}).get("at_rates", [])
    if not rows:
        return
    if chosen.chart is not None:
        title = f"{trained.product}: what a false-alarm rate costs and finds"
        write_rate_chart(rows, chosen.chart, title)
        yield str(chosen.chart)
    if chosen.policy is not None:
        prices, currency = read_prices(chosen.policy)
        body["recommended_rate"], body["price_by_rate"] = recommend(rows, prices)
        yield advice(rows, prices, currency)


def _check_before(expert: str, chosen: Training, out: Path | None, review: Path | None) -> None:
    """What would only be found out at the end of the training."""
    of_ddad = {"unet", "epochs"} & chosen.model_fields_set
    if expert != "ddad" and of_ddad:
        words = f"{', '.join(sorted(of_ddad))}: only --expert ddad takes it"
        raise typer.BadParameter(words, param_hint="--set")
    if expert == "ddad" and chosen.exemplars is not None:
        raise typer.BadParameter("exemplars: only --expert patchcore is taught", param_hint="--set")
    for name in ("exemplars", "masks", "policy"):
        path = getattr(chosen, name)
        if path is not None and not path.exists():
            raise typer.BadParameter(f"{name}: {path} does not exist", param_hint="--set")
    if chosen.chart is not None:
        writable_folder(chosen.chart.parent, "--set chart")
    writable_folder(out or artifact_root(), "--out")
    if review is not None:
        writable_folder(review, "--review")


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


def _shown(trained: "ComposedExpert | DdadExpert", path: Path) -> Iterator[RenderableType]:
    table = Table(show_header=False, box=None)
    for key, value in _summary(trained).items():
        if not isinstance(value, dict) and key != "warnings":
            table.add_row(key, plain(", ".join(value) if isinstance(value, list) else str(value)))
    yield table
    if report := trained.model.trained.get("sensitivity"):
        taught = trained.model.trained.get("taught")
        title = "at the threshold before teaching" if taught else "at this threshold"
        found = Table("synthetic anomaly", "found", title=title, title_justify="left")
        for kind, share in report["by_kind"].items():
            found.add_row(kind, f"{share:.0%}")
        found.add_row("local kinds, mean", f"{report['local']:.0%}", style="bold")
        rows = (
            (
                f"{r['asked_rate']:g}",
                f"{r['rate']:.4f}",
                f"{r['threshold']:.3f}",
                "{share:.1%} ({low:.0%} to {high:.0%})".format(**r["false_alarms"]),
                f"{r['local']:.0%}",
            )
            for r in report["at_rates"]
        )
        columns = ("--rate", "stands for", "threshold", "false alarms over redraws", "local found")
        yield found
        if taught:
            local = {r["asked_rate"]: r["local"] for r in report["at_rates"]}
            yield taught_table(taught["at_rates"], local)
        else:
            yield table_of_rows(columns, rows, "at other rates")
    for warning in trained.model.trained.get("warnings", []):
        yield Text(f"warning: {warning}", style="yellow")
    yield Text(str(path))


def _write_review(
    trained: "ComposedExpert | DdadExpert", paths: Sequence[Path], folder: Path
) -> None:
    """The oddest normals with maps from heads that had not seen them, oddest first."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, odd in enumerate(draw_oddest(trained, paths), 1):
        name = f"{number:02d}_{odd.score:.2f}_{odd.photograph.stem}.png"
        save_picture(odd.picture, str(folder / name))
