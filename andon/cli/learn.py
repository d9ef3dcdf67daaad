"""``andon learn``: a candidate from what people said of parts, tested before anybody uses it."""

import asyncio
import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field
from rich.console import Console, RenderableType
from rich.markup import escape

from andon.cli.experts import stage_bars
from andon.cli.history.asking import moment, usage_errors
from andon.cli.learn_absorb import REVIEWS, absorb_pictures, folder_goods, reviewed_goods
from andon.cli.options import Json, More, MoreOptions, Product, listed, read_options, writable_file
from andon.cli.printing import print_found, table_of_rows
from andon.learning.changing import open_stores
from andon.learning.errors import LearningError
from andon.learning.lessons import LATER_SHARE, MOST_PER_CLASS, ReviewedPicture, without
from andon.settings import load_settings
from andon.wiring import opened, storage
from history.filters import FrameFilter

if TYPE_CHECKING:
    from andon.learning.figures import Shares
    from andon.learning.reading import Reviews
    from andon.learning.session import Made

app = typer.Typer(add_completion=False)


class LearnTuning(MoreOptions):
    """Options of ``learn`` that are given by ``--set``."""

    most: int = Field(
        MOST_PER_CLASS, ge=1, le=64, description="Photographs of a class that reviews may add."
    )
    later: float = Field(
        LATER_SHARE, gt=0, lt=1, description="Share of the parts, the latest, that test."
    )


@app.command(epilog=listed(LearnTuning))
def learn_command(
    product: Product,
    since: Annotated[
        str | None, typer.Option(help="Parts from then on: 30d, 2h, 2026-11-23; all without.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to, exclusive; the same forms.")] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--without", metavar="FRAME", help="A frame whose review is left out; repeatable."
        ),
    ] = None,
    report: Annotated[
        Path, typer.Option(help="Where to write what would have changed, with pictures.")
    ] = Path("learn.html"),
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Let Serve score the candidate beside, without action.")
    ] = False,
    absorb: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|reviews",
            help="Instead accept a new light or look: good parts in a folder, or reviewed normal.",
        ),
    ] = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Build a candidate from confirmed reviews, test it on later parts, write a report.

    With --absorb from ten good parts of a new kind. Nothing is put in force: `andon models use`
    does that, with the digest that is printed.
    """
    tuning = read_options(LearnTuning, more)
    if absorb is not None and absorb != REVIEWS:
        absorb_pictures(product, partial(folder_goods, Path(absorb)), as_json)
        return
    with usage_errors():
        wanted = FrameFilter(
            product=product,
            reviewed=True,
            since=moment(since) if since else None,
            until=moment(until) if until else None,
        )
    if absorb is None:
        writable_file(report, "--report")
    reviews = asyncio.run(_read(wanted))
    pictures = without(reviews.pictures, leave_out or [])
    _tell_left_out(reviews)
    if absorb is not None:
        absorb_pictures(product, partial(reviewed_goods, pictures), as_json)
        return
    from andon.learning.session import Session  # PyTorch takes a second

    with stage_bars() as bars:
        session = Session.open(open_stores(load_settings()), product, bars)
        made = session.learn(pictures, tuning.most, tuning.later, tuple(leave_out or ()), report)
        if shadow:
            session.shadow(made)
    print_found(made.as_json(), _shown(made, pictures, shadow), as_json)


async def _read(wanted: FrameFilter) -> "Reviews":
    from andon.learning.reading import read_reviews

    settings = load_settings()
    async with (
        opened(storage.history, settings) as history,
        opened(storage.image_store, settings) as store,
    ):
        found = await read_reviews(history, store, wanted)
    if not found.pictures:
        raise LearningError(
            f"{wanted.product}: no reviewed part with a kept picture; "
            "`andon history review` writes a review"
        )
    return found


def _tell_left_out(reviews: "Reviews") -> None:
    for why, count in reviews.left_out.items():
        Console(stderr=True).print(f"{count} reviews left out: {escape(why)}", soft_wrap=True)


def _shown(
    made: "Made", pictures: Sequence[ReviewedPicture], shadow: bool
) -> Iterator[RenderableType]:
    shares = made.tested.shares
    rows = [("all defects", shares), *made.tested.by_class.items()]
    columns = ("later parts", "parts", "escape, in force", "escape, candidate")
    yield table_of_rows(columns, (_row(name, found) for name, found in rows))
    yield (
        f"{shares.normals} later normal parts: {_percent(shares.alarms_before)} found anomalous by "
        f"the expert in force, {_percent(shares.alarms_after)} by the candidate"
    )
    yield from made.tested.caveat
    for name, own, other in made.suspects():
        yield (
            f"[yellow]label to look at:[/] {escape(name)} is said to be {escape(own)} and looks "
            f"like {escape(other)}; `--without {escape(name)}` leaves it out"
        )
    yield f"report: {escape(str(made.report))}"
    if shadow:
        yield f"scored beside: `andon models shadow {escape(made.product)}` says what it would do"
    yield (
        f"candidate {made.digest} learned from {len(made.tested.candidate.learned)} of "
        f"{len(pictures)} reviewed photographs; "
        f"in force with: andon models use {escape(shlex.quote(made.product))} {made.digest[:12]}"
    )


def _row(name: str, found: "Shares") -> tuple[str, ...]:
    counts = str(found.defects)
    return escape(name), counts, _percent(found.escapes_before), _percent(found.escapes_after)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
