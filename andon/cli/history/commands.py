"""The commands of ``andon history``."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer

from andon.cli.history import audit, escapes, output
from andon.cli.history.asking import (
    Frame,
    ask,
    moment,
    publish_review,
    tell_of_class,
    usage_errors,
)
from andon.cli.history.backups import backup, restore
from andon.cli.history.changeovers import changeovers
from andon.cli.history.frame_options import Line, RarelyAsked, Since, Text, chosen_frames
from andon.cli.history.gauge import gauge
from andon.cli.history.golden import golden
from andon.cli.history.grants import grant
from andon.cli.history.months import months
from andon.cli.history.rates import rates
from andon.cli.history.retention import erase, retain
from andon.cli.options import (
    Json,
    group,
    listed,
    taking,
    writable_file,
    writable_folder,
)
from andon.settings import load_settings
from andon.wiring import opened, storage
from history.bi import READER, apply_bi
from history.filters import FrameFilter
from history.migrate import build_indexes, current, head, is_newer, upgrade, write_facts
from history.months import divide_tables
from history.pictures import save_pictures
from history.queries import History
from history.records import AuditCount, Stats, Story
from history.reviews import SELF_DECLARED, build_review
from history.statistics import ParetoBy

app = group("Read the defect history.")
app.add_typer(audit.app, name="audit")
app.command()(changeovers)
app.command()(golden)
app.command(epilog=listed(RarelyAsked))(taking(wanted=chosen_frames)(rates))
app.command()(gauge)
app.command()(grant)
app.command()(backup)
app.command()(restore)
app.command()(retain)
app.command()(erase)
app.command()(months)


@app.command("list", epilog=listed(RarelyAsked))
@taking(wanted=chosen_frames)
def list_(
    wanted: FrameFilter,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Frames on this page.")] = 50,
    cursor: Annotated[Text, typer.Option(help="`next_cursor` of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """Frames with their effective decision, newest first."""
    page = ask(lambda history: history.list_frames(wanted, limit, cursor))
    typer.echo(page.model_dump_json()) if as_json else output.print_page(page)


@app.command()
def show(
    frame: Frame,
    images: Annotated[
        Path | None, typer.Option(help="Save picture, mask and outlined region here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The whole story of one frame: what was seen, who decided, by which rule, what came of it."""

    async def tell(history: History) -> Story:
        return await history.show(await history.resolve(frame))

    story = ask(tell)
    saved = asyncio.run(_save(story, images)) if images is not None else []
    typer.echo(story.model_dump_json()) if as_json else output.print_story(story)
    for path in saved:
        typer.echo(f"saved {path}", err=as_json)
    if images is not None and not saved:
        typer.echo("no picture of this frame is kept", err=True)


@app.command(epilog=listed(RarelyAsked))
@taking(wanted=chosen_frames)
def stats(
    wanted: FrameFilter,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many rules to name.")] = 10,
    as_json: Json = False,
) -> None:
    """Counts by action, class, source and day; first-pass yield; the rate of escaped defects.

    The rate stands on blind audits alone (`andon history audit`), with its 95 % interval.
    """

    async def count(history: History) -> tuple[Stats, tuple[AuditCount, ...]]:
        return await history.stats(wanted, top), await history.audit_counts(wanted)

    found, audits = ask(count)
    report = escapes.report_of(audits)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json") | {"escapes": asdict(report)}))
        return
    output.print_stats(found)
    escapes.print_report(report)


@app.command(epilog=listed(RarelyAsked))
@taking(wanted=chosen_frames)
def pareto(
    wanted: FrameFilter,
    by: Annotated[ParetoBy, typer.Option(help="What tells the parts apart.")] = ParetoBy.CLASS,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many names to list.")] = 10,
    as_json: Json = False,
) -> None:
    """What most parts fall under: class, rule, station ...; --not-passed for defects alone."""
    found = ask(lambda history: history.pareto(wanted, by, top))
    typer.echo(found.model_dump_json()) if as_json else output.print_pareto(found)


@app.command(epilog=listed(RarelyAsked))
@taking(wanted=chosen_frames)
def export(
    wanted: FrameFilter,
    target: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File, stdout without; or a new or empty folder."),
    ] = None,
    form: Annotated[
        Literal["jsonl", "csv", "parquet", "mvtec", "coco"],
        typer.Option("--format", help="Lines: jsonl (exact), csv. Folders: parquet, mvtec, coco."),
    ] = "jsonl",
    test_share: Annotated[
        float, typer.Option(min=0, max=1, help="mvtec: share of good parts in test/good.")
    ] = 0.2,
) -> None:
    """Every part of a filter, oldest first: lines, Parquet by day, or pictures with labels.

    `mvtec` and `coco` hold the parts whose picture is kept. Their labels are the latest review's,
    else the decision's; their masks are the regions that the vision expert found.
    """
    if target is not None and form in ("jsonl", "csv"):
        writable_file(target, "--output")
    elif target is not None:
        writable_folder(target.parent, "--output")
    if form in ("jsonl", "csv"):
        ask(lambda history: output.export(history, wanted, form, target))
        return
    if target is None:
        raise typer.BadParameter(f"--format {form} needs a folder", param_hint="--output")
    folder = target

    async def write(history: History) -> dict[str, int]:
        if form == "parquet":
            return await output.export_folder(history, None, wanted, form, folder, test_share)
        async with opened(storage.image_store, load_settings()) as store:
            return await output.export_folder(history, store, wanted, form, folder, test_share)

    for what, count in ask(write).items():
        typer.echo(f"{count} {what}", err=True)


@app.command()
def check(line: Line = None, since: Since = None, as_json: Json = False) -> None:
    """Is the history complete, and do its facts say what was recorded? Exit code 1 when not."""
    begin = moment(since) if since else None
    gaps = ask(lambda history: history.gaps(line, begin))
    typer.echo(gaps.model_dump_json()) if as_json else output.print_gaps(gaps)
    raise typer.Exit(0 if gaps.complete else 1)


@app.command()
def review(
    frame: Frame,
    severity: Annotated[str, typer.Option(help="normal, negligible, defect, unknown.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    class_name: Annotated[str, typer.Option("--class", help="The true class.")] = "",
    action: Annotated[Text, typer.Option(help="What was done with the part.")] = None,
    comment: Annotated[str, typer.Option(help="In your words.")] = "",
    as_json: Json = False,
) -> None:
    """Say what a frame really was. Goes to Kafka; record stores it."""

    async def checked(history: History) -> UUID:
        frame_id = await history.resolve(frame)
        await tell_of_class(history, await history.show(frame_id), class_name)
        return frame_id

    with usage_errors():
        made = build_review(
            ask(checked), by, severity, class_name, action, comment, said=SELF_DECLARED
        )
    asyncio.run(publish_review(made))
    typer.echo(made.model_dump_json() if as_json else f"review {made.review_id} published")


@app.command()
def migrate() -> None:
    """Bring the database's schema to this build's (`andon worker record` needs it).

    Parts that an earlier version recorded are prepared for questions; recording goes on meanwhile.
    """
    url = load_settings().postgres.url.get_secret_value()

    def told(read: int) -> None:
        if read % 50_000 == 0:
            typer.echo(f"{read} decisions prepared", err=True)

    async def run() -> str:
        await upgrade(url)
        await build_indexes(url)
        await write_facts(url, progress=told)
        for name in await divide_tables(url):
            typer.echo(f"{name} is kept by month now", err=True)
        return await current(url)

    revision = asyncio.run(run())
    newer = f", made by a later build than this one ({head()})" if is_newer(revision) else ""
    typer.echo(f"schema {revision}{newer}")


@app.command()
def bi(
    reader: Annotated[
        str, typer.Option(help="Role that may read the views; created without login.")
    ] = READER,
    as_json: Json = False,
) -> None:
    """Create or renew the views of schema `bi` for people's tools, with their comments.

    Days and shifts are those of ANDON_PLANT__TIME_ZONE and ANDON_PLANT__SHIFTS. Applied again, it
    takes over new settings; no data moves.
    """
    settings = load_settings()
    asyncio.run(apply_bi(settings.postgres.url.get_secret_value(), settings.plant, reader))
    done = {"schema": "bi", "reader": reader, **settings.plant.model_dump(mode="json")}
    words = f"schema bi in {settings.plant.time_zone}; GRANT {reader} TO your tool's role"
    typer.echo(json.dumps(done) if as_json else words)


async def _save(story: Story, folder: Path) -> list[Path]:

    async with opened(storage.image_store, load_settings()) as store:
        return await save_pictures(story, store, folder)
