"""``andon history audit``: parts that passed, reviewed by people who see no verdict."""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from andon.cli.history.asking import (
    Frame,
    ask,
    moment,
    publish_review,
    tell_of_class,
    usage_errors,
)
from andon.cli.options import Json, group
from andon.settings import load_settings
from andon.wiring import opened, storage
from history.audits import AuditQueue
from history.errors import BadQueryError
from history.filters import FrameFilter
from history.pictures import save_photographs
from history.queries import History
from history.records import Story
from history.reviews import SELF_DECLARED, build_review
from history.text import visible

app = group("Blind audits of parts that passed: how many defects escape?")
Text = str | None


@app.command("next")
def next_(
    images: Annotated[Path, typer.Option(help="Save the photographs here.")],
    product: Annotated[Text, typer.Option(help="Product id.")] = None,
    line: Annotated[Text, typer.Option(help="Line.")] = None,
    since: Annotated[Text, typer.Option(help="From: 30d, 2h, 2026-11-23 (UTC), ISO time.")] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many parts.")] = 1,
    as_json: Json = False,
) -> None:
    """Photographs of the next parts to review, without what was decided about them.

    Parts that passed are drawn by a hash of their frame id at the policy's `audit_share`, and come
    in random order. `andon history audit review` says what each is.
    """
    with usage_errors():
        wanted = FrameFilter(product=product, line=line, since=moment(since) if since else None)

    async def look(history: History) -> tuple[AuditQueue, list[Story]]:
        queue = await history.audit_queue(wanted, count)
        return queue, [await history.show(part.part_frame_id) for part in queue.parts]

    queue, stories = ask(look)
    saved = asyncio.run(_save(stories, images))
    for story, found in zip(stories, saved, strict=True):
        if not found:
            typer.echo(
                f"no photograph of {story.frame_id} is kept any more: review it as unknown",
                err=True,
            )
    if as_json:
        typer.echo(queue.model_dump_json())
        return
    typer.echo(f"{queue.waiting} parts wait for a blind review")
    for part in queue.parts:
        where = f"{part.product_id}, {part.line}/{part.station}"
        typer.echo(f"{part.part_frame_id}  {visible(where)}")
    for path in (path for found in saved for path in found):
        typer.echo(f"saved {path}")


@app.command()
def review(
    frame: Frame,
    severity: Annotated[str, typer.Option(help="normal, negligible, defect, unknown.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    class_name: Annotated[str, typer.Option("--class", help="The true class.")] = "",
    comment: Annotated[str, typer.Option(help="In your words.")] = "",
    as_json: Json = False,
) -> None:
    """Say what a part is of which you saw the photographs and no verdict.

    Only such reviews of drawn parts count in the escape rate of `andon history stats`.
    """

    async def drawn(history: History) -> UUID:
        story = await history.show(await history.resolve(frame))
        part = story.frame_id
        if not await history.is_audited(part):
            raise BadQueryError(
                f"{frame} did not pass or was not drawn for audits: `andon history audit next` "
                "names those that were, `andon history review` takes a review of any part"
            )
        await tell_of_class(history, story, class_name)
        return part

    with usage_errors():
        made = build_review(
            ask(drawn), by, severity, class_name, comment=comment, is_blind=True, said=SELF_DECLARED
        )
    asyncio.run(publish_review(made))
    typer.echo(made.model_dump_json() if as_json else f"blind review {made.review_id} published")


async def _save(stories: list[Story], folder: Path) -> list[list[Path]]:
    async with opened(storage.image_store, load_settings()) as store:
        return [await save_photographs(story, store, folder) for story in stories]
