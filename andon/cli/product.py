"""``andon product``: a new product from pictures to the line, step by step and resumable."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from andon.cli.exemplar_folders import LabelledFile, list_exemplars, read_mask
from andon.cli.experts import list_normals, read_groups, stage_bars
from andon.cli.options import By, Json, More, MoreOptions, group, listed, plant_name, read_options
from andon.cli.printing import plain, print_found, print_lines, progress, table_of_rows
from andon.cli.product_output import draft_lines, odd_lines
from andon.products.running import IN_PROCESSES, NICENESS, Workshop
from andon.settings import load_settings
from console.product_drafts import (
    DraftClass,
    DraftError,
    DraftStep,
    ProductDraft,
    next_step,
)
from streams.codes import Action, Severity
from streams.errors import UnavailableError

if TYPE_CHECKING:
    from andon.products.workspace import Workspace

_MOST_NAMED = 5
app = group("A new product, from pictures of good parts to the line.")

Name = Annotated[str, typer.Argument(callback=plant_name, help="The product, as the PLC sends it.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit tables.")]


class NewProductOptions(MoreOptions):
    """Options of ``product new`` that are given by ``--set``."""

    groups: Path | None = Field(
        None, description="CSV (path, part): pictures of one part are held out together."
    )
    masks: Path | None = Field(
        None, description="Masks of the defects: <class>/<stem>.png or <stem>_mask.png."
    )
    actions: str = Field(
        "", description="What the line does with a class: crack:scrap,stain:pass; else hold."
    )
    allow_softening: bool = Field(
        False, description="Let parts pass that the product's policy in force stops."
    )
    size: int | None = Field(None, description="Side of the network's input, pixels.")
    threads: int | None = Field(None, description="CPU threads of the training; without it, all.")
    synthetic: int | None = Field(
        None, description="Synthetic defects that choices are made on; fewer are quicker."
    )


def workshop() -> Workshop:
    """The drafts of this host."""
    return Workshop(load_settings().paths.state / "products")


@app.command(epilog=listed(NewProductOptions))
def new(
    product: Name,
    images: Annotated[
        Path | None, typer.Option("--images", "-i", help="Folder of pictures of good parts.")
    ] = None,
    exemplars: Annotated[
        Path | None, typer.Option(help="Pictures of defects, one folder for each class.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A picture that shows no good part; repeatable.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Share of good parts that may be called odd, 0 to 0.5.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A policy of your own.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Put it on the line at the end.")] = False,
    reason: Reason = "",
    by: By = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Bring up a product: train, look at what is odd, teach defects, draft a policy, go live.

    What was done is kept, so that the command may be ended at any time and given again, without
    --images too; the console's page New product goes on with the same draft. A data set's root
    stands for its train/good.
    """
    chosen, drafts = read_options(NewProductOptions, more), workshop()
    if images is None and not any(draft.product == product for draft in drafts.list()):
        raise DraftError(
            f"{product}: no draft to go on with; give pictures of good parts: --images"
        )
    key = drafts.begin(product, by).key
    workspace = drafts.workspace(key)
    if images is not None:
        _take_pictures(workspace, images, chosen.groups)
    if exemplars is not None:
        _take_defects(workspace, list_exemplars(exemplars, chosen.masks, chosen.groups), chosen)
    for name in without or ():
        workspace.keep(name, False)
    _set_options(workspace, rate, chosen)
    asks = not yes and sys.stdin.isatty()
    while next_step(workspace.read()) is DraftStep.TRAIN:
        _do(drafts, key, DraftStep.TRAIN)
        if asks and not _kick_out(workspace):
            break
    if next_step(workspace.read()) is DraftStep.TEACH:
        _do(drafts, key, DraftStep.TEACH)
    draft = _check(workspace, policy)
    notes = _backtest(drafts, key) if draft.checked and not draft.checked.errors else []
    if live and next_step(workspace.read()) is DraftStep.LIVE:
        if asks and not typer.confirm(f"put {product} on the line?"):
            notes.append("left as a draft")
        else:
            _do(drafts, key, DraftStep.LIVE, by, reason, chosen.allow_softening)
    draft = workspace.read()
    print_found(
        {**draft.model_dump(mode="json"), "folder": str(workspace.folder), "notes": notes},
        draft_lines(draft, workspace.folder, notes),
        as_json,
    )
    raise typer.Exit(1 if draft.checked and draft.checked.errors else 0)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The drafts of this host, the newest first, and what each needs next."""
    found = workshop().list()
    rows = (
        (
            plain(draft.product),
            f"{draft.began_at:%Y-%m-%d %H:%M}",
            plain(draft.by),
            str(len(draft.kept)),
            str(len(draft.named)),
            missing.value if (missing := next_step(draft)) else "on the line",
        )
        for draft in found
    )
    columns = ("product", "begun (UTC)", "by", "good parts", "defects", "next")
    table = table_of_rows(columns, rows) if found else "no draft; `andon product new` begins one"
    print_found([draft.model_dump(mode="json") for draft in found], [table], as_json)


@app.command()
def discard(product: Name) -> None:
    """Forget a product's draft and its pictures; what is on the line stays there."""
    drafts = workshop()
    drafts.discard(_key(drafts, product))
    typer.echo(f"discarded: {product}")


@app.command()
def step(
    product: Name,
    what: Annotated[
        DraftStep,
        typer.Argument(help="train, teach, backtest or live; `andon product new` does the others."),
    ],
    by: By = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Do one step of a draft in this process, as the console's page has it done."""
    drafts = workshop()
    os.nice(NICENESS)
    if what not in IN_PROCESSES:
        raise typer.BadParameter(f"{what.value} is done by `andon product new`")
    key = _key(drafts, product)
    _do(drafts, key, what, by, reason)
    draft = drafts.read(key)
    folder = drafts.workspace(key).folder
    print_found(draft.model_dump(mode="json"), draft_lines(draft, folder, []), as_json)


def _key(drafts: Workshop, product: str) -> str:
    found = [draft.key for draft in drafts.list() if draft.product == product]
    if not found:
        raise DraftError(f"there is no draft of {product!r}; `andon product list` lists them")
    return found[0]


def _do(
    drafts: Workshop,
    key: str,
    what: DraftStep,
    by: str = "",
    reason: str = "",
    allow_softening: bool = False,
) -> None:
    """One step, with bars here and progress for the page."""
    with drafts.doing(key, what) as told, stage_bars() as bar:
        from andon.products import steps  # after the place is taken: PyTorch takes a second

        def report(stage: str, done: int, total: int) -> None:
            told(stage, done, total)
            bar(stage, done, total)

        workspace = drafts.workspace(key)
        match what:
            case DraftStep.TRAIN:
                steps.train_draft(workspace, report)
            case DraftStep.TEACH:
                steps.teach_draft(workspace, report)
            case DraftStep.BACKTEST:
                asyncio.run(steps.backtest_draft(workspace, lambda: told("recorded decisions")))
            case DraftStep.LIVE:
                settings = load_settings()
                work = steps.put_live(workspace, settings, by, reason, told, allow_softening)
                asyncio.run(work)
            case _:
                raise DraftError(f"{what.value!r} is no step for a process")


def _take_pictures(workspace: "Workspace", images: Path, groups: Path | None) -> None:
    """Copy the pictures of good parts into the draft, and say how many were new.

    Raises:
        DraftError: names all that cannot be taken; the others are in the draft.
    """
    before = len(workspace.read().normals)
    paths = list_normals(images)
    parts = read_groups(images, groups, paths)
    refused = []
    with progress() as bar:
        task = bar.add_task("pictures", total=len(paths))
        for path in paths:
            try:
                workspace.add_normal(path.name, path.read_bytes(), parts.get(path, ""))
            except DraftError as error:
                refused.append(str(error))
            bar.advance(task)
    new = len(workspace.read().normals) - before
    typer.echo(f"{new} of {len(paths)} pictures are new to the draft", err=True)
    if refused:
        why = list(dict.fromkeys(refused))
        more = f"; and {len(why) - _MOST_NAMED} more" if len(why) > _MOST_NAMED else ""
        raise DraftError(
            f"{len(refused)} of {len(paths)} pictures were not taken; take them out, or copy them "
            f"anew, and give this again: {'; '.join(why[:_MOST_NAMED])}{more}"
        )


def _take_defects(
    workspace: "Workspace", files: Sequence[LabelledFile], chosen: NewProductOptions
) -> None:
    import cv2
    import numpy as np

    from andon.cli.moved_pictures import MovedPicture, tell_moved
    from serving.bundles import digest_of
    from serving.experts.images import read_image

    masks = {file.path: read_mask(file, read_image(file.path)) for file in files if file.mask}
    before = {d.digest: d.class_name for d in workspace.read().named}
    moved = []
    for each in files:
        marked = masks.get(each.path)
        drawn = None if marked is None else cv2.imencode(".png", marked.astype(np.uint8) * 255)[1]
        mask = None if drawn is None else drawn.tobytes()
        workspace.add_defect(
            each.path.name, each.path.read_bytes(), each.class_name, mask, each.part
        )
        digest, after = digest_of(each.path.read_bytes()), each.class_name
        if before.get(digest, after) != after:
            moved.append(MovedPicture(str(each.path), before[digest], after))
        before[digest] = after
    tell_moved(workspace.read().product, moved)
    for words in filter(None, chosen.actions.split(",")):
        name, _, action = words.strip().rpartition(":")
        if action not in list(Action):
            known = ", ".join(a.value for a in Action)
            raise typer.BadParameter(
                f"actions: {words!r} ends in none of {known}", param_hint="--set"
            )
        severity = Severity.NEGLIGIBLE if action == Action.PASS else Severity.DEFECT
        workspace.set_class(name, DraftClass(severity=severity, action=Action(action)))


def _set_options(workspace: "Workspace", rate: float | None, chosen: NewProductOptions) -> None:
    if rate is not None:
        workspace.set_rate(rate)
    said = chosen.model_dump(include={"size", "threads", "synthetic"}, exclude_none=True)
    if said:
        workspace.change(
            lambda d: d.model_copy(update={"choice": d.choice.model_copy(update=said)})
        )


def _kick_out(workspace: "Workspace") -> bool:
    """Show the oddest normals and ask which are no good parts; whether any is."""
    draft = workspace.read()
    assert draft.trained is not None
    print_lines(odd_lines(draft.trained, workspace.folder))
    words = typer.prompt("numbers of those that show no good part (none: Enter)", default="")
    numbers = [int(word) for word in words.replace(",", " ").split() if word.isdigit()]
    odd = [draft.trained.odd[n - 1].name for n in numbers if 0 < n <= len(draft.trained.odd)]
    for name in odd:
        workspace.keep(name, False)
    return bool(odd)


def _check(workspace: "Workspace", policy: Path | None) -> ProductDraft:
    from andon.products.drafted_policy import check_policy

    return check_policy(workspace, policy.read_text("utf-8-sig") if policy else None)


def _backtest(drafts: Workshop, key: str) -> list[str]:
    """Try the policy on the history, where one answers; what to say where none does."""
    try:
        _do(drafts, key, DraftStep.BACKTEST)
    except UnavailableError as error:
        return [f"not tried on the history: {error}"]
    return []
