"""``andon history``: what was decided about which part, and why."""

import asyncio
import contextlib
from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from andon.settings import Settings
    from history.filters import FrameFilter
    from history.queries import History

app = typer.Typer(no_args_is_help=True, add_completion=False)
_TIMEOUT_S = 120.0
"""A question over a year of parts may take longer than a row of the line."""


class ExportFormat(StrEnum):
    """What ``export`` writes."""

    JSONL = "jsonl"
    CSV = "csv"


Text = str | None
Product = Annotated[Text, typer.Option("--product", help="Product id.")]
Line = Annotated[Text, typer.Option("--line", help="Line.")]
Station = Annotated[Text, typer.Option("--station", help="Station.")]
Since = Annotated[Text, typer.Option("--since", help="From: 30d, 2h, 2026-11-23, ISO time.")]
Until = Annotated[Text, typer.Option("--until", help="Up to, exclusive; the same forms.")]
ActionIs = Annotated[Text, typer.Option("--action", help="pass, rework, scrap, hold.")]
SeverityIs = Annotated[
    Text, typer.Option("--severity", help="normal, negligible, defect, unknown.")
]
ClassIs = Annotated[Text, typer.Option("--class", help="Anomaly class.")]
SourceIs = Annotated[Text, typer.Option("--source", help="expert, classifier, fallback, watchdog.")]
Part = Annotated[Text, typer.Option("--part", help="Serial number.")]
Lot = Annotated[Text, typer.Option("--lot", help="Lot.")]
Passed = Annotated[bool | None, typer.Option("--passed/--not-passed", help="Passed or not.")]
Reviewed = Annotated[bool | None, typer.Option("--reviewed/--unreviewed", help="With a review.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_(
    product: Product = None,
    line: Line = None,
    station: Station = None,
    since: Since = None,
    until: Until = None,
    action: ActionIs = None,
    severity: SeverityIs = None,
    class_name: ClassIs = None,
    source: SourceIs = None,
    part: Part = None,
    lot: Lot = None,
    passed: Passed = None,
    reviewed: Reviewed = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Frames on this page.")] = 50,
    cursor: Annotated[Text, typer.Option(help="`next_cursor` of the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Frames with their effective decision, newest first."""
    from andon.cli import history_view as view

    wanted = _filter(locals())
    page = _ask(lambda history: history.list_frames(wanted, limit, cursor))
    typer.echo(page.model_dump_json()) if as_json else view.print_page(page)


@app.command()
def show(
    frame: Annotated[str, typer.Argument(help="Frame id, or the serial of a part seen once.")],
    images: Annotated[
        Path | None, typer.Option(help="Save picture, mask and outlined region here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The whole story of one frame: what was seen, who decided, by which rule, what came of it."""
    from andon.cli import history_view as view
    from andon.settings import load_settings

    async def tell(history: "History") -> Any:
        return await history.show(await history.resolve(frame))

    story = _ask(tell)
    saved = asyncio.run(_save(load_settings(), story, images)) if images is not None else []
    typer.echo(story.model_dump_json()) if as_json else view.print_story(story)
    for path in saved:
        typer.echo(f"saved {path}", err=as_json)
    if images is not None and not saved:
        typer.echo("no picture of this frame is kept", err=True)


@app.command()
def stats(
    product: Product = None,
    line: Line = None,
    station: Station = None,
    since: Since = None,
    until: Until = None,
    lot: Lot = None,
    class_name: ClassIs = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many rules to name.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Counts by action, class, source and day; first-pass yield; the most frequent rules."""
    from andon.cli import history_view as view

    wanted = _filter(locals())
    found = _ask(lambda history: history.stats(wanted, top))
    typer.echo(found.model_dump_json()) if as_json else view.print_stats(found)


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; stdout without.")
    ] = None,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="JSON lines (exact) or CSV.")
    ] = ExportFormat.JSONL,
    product: Product = None,
    line: Line = None,
    station: Station = None,
    since: Since = None,
    until: Until = None,
    action: ActionIs = None,
    severity: SeverityIs = None,
    class_name: ClassIs = None,
    source: SourceIs = None,
    part: Part = None,
    lot: Lot = None,
    passed: Passed = None,
    reviewed: Reviewed = None,
) -> None:
    """Every frame of a filter, oldest first, as JSON lines or CSV."""
    from andon.cli import history_view as view

    wanted = _filter(locals())
    _ask(lambda history: view.export(history, wanted, form.value, output))


@app.command()
def check(line: Line = None, since: Since = None, as_json: AsJson = False) -> None:
    """Is the history complete? Exit code 1 when a frame is undecided, unanswered or doubled."""
    from andon.cli import history_view as view
    from history.filters import parse_moment

    with _usage_errors():
        moment = parse_moment(since) if since else None
    gaps = _ask(lambda history: history.gaps(line, moment))
    typer.echo(gaps.model_dump_json()) if as_json else view.print_gaps(gaps)
    raise typer.Exit(0 if gaps.complete else 1)


@app.command()
def review(
    frame: Annotated[str, typer.Argument(help="Frame id, or the serial of a part seen once.")],
    severity: Annotated[str, typer.Option(help="normal, negligible, defect, unknown.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    class_name: Annotated[str, typer.Option("--class", help="The true class.")] = "",
    action: Annotated[Text, typer.Option(help="What was done with the part.")] = None,
    comment: Annotated[str, typer.Option(help="In your words.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what a frame really was. Goes to Kafka; record stores it."""
    from andon.settings import load_settings
    from history.reviews import build_review

    async def checked(history: "History") -> UUID:
        frame_id = await history.resolve(frame)
        await history.show(frame_id)
        return frame_id

    with _usage_errors():
        made = build_review(_ask(checked), by, severity, class_name, action, comment)
    asyncio.run(_publish(load_settings(), made))
    typer.echo(made.model_dump_json() if as_json else f"review {made.review_id} published")


@app.command()
def migrate() -> None:
    """Bring the database's schema to this build's (`andon worker record` needs it)."""
    from andon.settings import load_settings
    from history.migrate import head, upgrade

    asyncio.run(upgrade(load_settings().postgres.url.get_secret_value()))
    typer.echo(f"schema {head()}")


def _filter(given: dict[str, Any]) -> "FrameFilter":
    """The filter behind a command's options."""
    from history.filters import FrameFilter, parse_moment

    names = {"part": "part_id", "lot": "lot_id"}
    fields = {names.get(name, name): value for name, value in given.items() if value is not None}
    known = {k: v for k, v in fields.items() if k in FrameFilter.__dataclass_fields__}
    with _usage_errors():
        for name in ("since", "until"):
            if name in known:
                known[name] = parse_moment(known[name])
        return FrameFilter(**known)


def _ask(question: "Any") -> Any:
    """Open the history, ask, close."""
    from andon import wiring
    from andon.settings import load_settings

    async def run() -> Any:
        build = partial(wiring.history, least_timeout_s=_TIMEOUT_S)
        async with wiring.opened(build, load_settings()) as history:
            return await question(history)

    with _usage_errors():
        return asyncio.run(run())


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """A question that cannot be asked is bad usage: exit code 2."""
    from history.errors import BadQueryError

    try:
        yield
    except BadQueryError as error:
        raise typer.BadParameter(str(error)) from None


async def _save(settings: "Settings", story: Any, folder: Path) -> list[Path]:
    from andon import wiring
    from history.pictures import save_pictures

    async with wiring.opened(wiring.image_store, settings) as store:
        return await save_pictures(story, store, folder)


async def _publish(settings: "Settings", made: Any) -> None:
    from andon import wiring
    from history.reviews import submit_review

    async with wiring.publisher(settings) as publisher:
        await submit_review(publisher, made)
