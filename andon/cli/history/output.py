"""How the history looks in a terminal. Text from outside is shown, never interpreted."""

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from andon.cli.printing import console, table_of_rows
from history.changeovers import ChangeoverEnd, ChangeoverRecord
from history.export.lines import csv_lines, json_lines
from history.filters import FrameFilter
from history.queries import History
from history.records import FrameRecord, Gaps, Page, Pareto, ShotStory, Stats, Story
from history.text import visible
from streams.events import Acknowledgement, DeadLetter, Decision, Inspection, Review
from streams.ports import ImageStore

_COLOURS = {"pass": "green", "rework": "yellow", "scrap": "red", "hold": "magenta"}
_REASON_WIDTH = 60


def print_page(page: Page) -> None:
    """Print one line per frame."""
    score = Column("score", justify="right")
    table = Table(
        *("captured (UTC)", "part", "product", "station", "action", "class", "source"),
        *(score, "PLC", "reviewed", "why"),
    )
    for frame in page.frames:
        table.add_row(*_line(frame))
    out = console()
    out.print(table if page.frames else "no frame matches")
    if page.next_cursor:
        out.print(f"more: --cursor {page.next_cursor}", soft_wrap=True)


def print_story(story: Story) -> None:
    """Print every stage of one frame in words."""
    columns = Column(style="bold"), Column(overflow="fold")
    table = Table(*columns, title=f"frame {story.frame_id}", show_header=False)
    for name, value in _story_rows(story):
        table.add_row(name, value)
    console().print(table)


def print_stats(stats: Stats) -> None:
    """Print the counts and the first-pass yield."""
    out = console()
    fpy = "-" if stats.first_pass_yield is None else f"{stats.first_pass_yield:.2%}"
    out.print(f"{stats.frames} frames, {stats.parts} parts, first-pass yield {fpy}")
    out.print(
        f"{stats.with_late_answer} with a late answer; {stats.reviewed} reviewed, "
        f"{stats.review_agrees} of them agree"
    )
    for title, counts in (
        ("action", stats.by_action),
        ("class", stats.by_class),
        ("source", stats.by_source),
        ("PLC", stats.by_outcome),
        ("rule (not passed)", {c.name: c.count for c in stats.top_reasons}),
    ):
        if counts:
            rows = ((_text(name), str(count)) for name, count in counts.items())
            out.print(table_of_rows((title, "frames"), rows))
    days = (
        (day.day, str(day.frames), *(str(day.by_action.get(a, 0)) for a in _COLOURS))
        for day in stats.by_day
    )
    out.print(table_of_rows(("day (UTC)", "frames", *_COLOURS), days))


def print_gaps(gaps: Gaps) -> None:
    """Print which frames are incomplete, at most twenty of each kind."""
    out = console()
    for name, frames in (
        ("without a decision", gaps.undecided),
        ("without an answer of the PLC's side", gaps.unanswered),
        ("acknowledged twice", gaps.decided_twice),
        ("whose acknowledgement contradicts the decision", gaps.contradicted),
        ("with a fact unlike the recorded events", gaps.false_facts),
    ):
        out.print(f"{len(frames)} frames {name}")
        for frame_id in frames[:20]:
            out.print(f"  {frame_id}")
    for name, spans in (
        ("without any record", gaps.holes),
        ("with two acknowledged parts", gaps.twice_numbered),
    ):
        out.print(f"{sum(span.count for span in spans)} trigger numbers {name}")
        for span in spans[:20]:
            place = f"{_text(span.line)}/{_text(span.station)}, boot {span.plc_boot_id}"
            out.print(f"  {place}: {span.first} to {span.last}")
    out.print(f"{len(gaps.lost)} spans of messages lost to retention")
    for lost in gaps.lost[:20]:
        where = f"{lost.topic}, partition {lost.partition}"
        out.print(f"  {where}: {_text(lost.error)} (noticed {lost.noticed_at:%Y-%m-%d %H:%M} UTC)")
    out.print(f"{len(gaps.false_counts)} quarters of an hour with counts unlike the facts")
    for quarter in gaps.false_counts[:20]:
        out.print(f"  {quarter:%Y-%m-%d %H:%M} UTC")
    unwritten = gaps.late - gaps.written_late
    said = f"{gaps.written_late} written after their window, {unwritten} not written"
    out.print(f"late: {gaps.late} frames, {said} (no gap)")


def print_changeovers(found: Sequence[ChangeoverRecord]) -> None:
    """Print one line per change of the recipe."""
    took = Column("took ms", justify="right")
    columns = ("requested (UTC)", "line", "from", "to", "ended", took, "by stage, ms", "why")
    table = Table(*columns)
    for one in found:
        name = f" {one.recipe_name}" if one.recipe_name else ""
        code = f" {one.fault}" if one.ended is ChangeoverEnd.REFUSED else ""
        table.add_row(
            f"{one.requested_at:%Y-%m-%d %H:%M:%S}",
            _text(f"{one.line}/{one.station}"),
            str(one.recipe_before or "-"),
            _text(f"{one.recipe}{name}"),
            Text(f"{one.ended.value}{code}", "red" if code else ""),
            "-" if one.took_ms is None else f"{one.took_ms:.0f}",
            ", ".join(f"{stage.stage} {stage.took_ms:.0f}" for stage in one.stages) or "-",
            _text(one.reason),
        )
    console().print(table if found else "no change of the recipe is on record")


def print_pareto(pareto: Pareto) -> None:
    """Print the names with the most parts, with their share and the share of all so far."""
    columns = [Column(title, justify="right") for title in ("parts", "share", "cumulative")]
    table = Table(pareto.by, *columns)
    for row in pareto.rows:
        shares = (f"{share:.1%}" for share in (row.share, row.cumulative_share))
        table.add_row(_text(row.name or "-"), str(row.parts), *shares)
    out = console()
    out.print(table)
    out.print(f"{pareto.parts} parts under {pareto.names} names")


async def export(history: History, wanted: FrameFilter, form: str, output: Path | None) -> None:
    """Write to stdout, or to a file that is there only once it is complete; count on stderr."""
    frames = history.export(wanted)
    lines = csv_lines(frames) if form == "csv" else json_lines(frames)
    draft = output.with_name(output.name + ".part") if output else None
    columns = (SpinnerColumn(), TextColumn("{task.completed} lines"), TimeElapsedColumn())
    quiet = not sys.stderr.isatty() or output is None
    with contextlib.ExitStack() as stack:
        target: TextIO = sys.stdout
        if draft:
            opened = await asyncio.to_thread(draft.open, "w", encoding="utf-8", newline="")
            target = stack.enter_context(opened)
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), disable=quiet))
        task = bar.add_task("export", total=None)
        async for line in lines:
            target.write(line)
            bar.advance(task)
    if draft and output:
        draft.replace(output)


async def export_folder(
    history: History,
    store: ImageStore | None,
    wanted: FrameFilter,
    form: str,
    folder: Path,
    test_share: float,
) -> dict[str, int]:
    """Write a folder that is there only once it is whole; returns how many parts stand where.

    Args:
        history: where the parts are.
        store: where the pictures are; None for a form without any.
        wanted: which parts.
        form: ``parquet``, ``mvtec`` or ``coco``.
        folder: new or empty.
        test_share: share of the good parts in the test side of ``mvtec``.
    """
    frames = history.export(wanted)
    columns = (SpinnerColumn(), TextColumn("{task.completed} parts"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        advance = partial(bar.advance, bar.add_task("export", total=None))
        if store is None:
            from history.export.parquet import write_parquet  # pyarrow loads slowly

            return {"parts": await write_parquet(frames, folder, advance)}
        if form == "mvtec":
            from history.export.mvtec import write_mvtec

            return await write_mvtec(frames, store, folder, test_share, advance)
        from history.export.coco import write_coco

        return await write_coco(frames, store, folder, advance)


def _line(frame: FrameRecord) -> tuple[Text | str, ...]:
    review, why = frame.review, frame.reason or frame.rule
    return (
        f"{frame.captured_at:%Y-%m-%d %H:%M:%S}",
        _text(frame.part_id or str(frame.frame_id)),
        _text(frame.product_id),
        _text(f"{frame.line}/{frame.station}"),
        Text(frame.action, style=_COLOURS.get(frame.action, "")),
        _text(frame.class_name),
        frame.source + (" (late)" if frame.is_late else ""),
        "" if frame.score is None else f"{frame.score:.3g}",
        frame.outcome or "-",
        _text(f"{review.severity} {review.class_name}".strip() if review else ""),
        _text(why if len(why) <= _REASON_WIDTH else why[: _REASON_WIDTH - 1] + "…"),
    )


def _story_rows(story: Story) -> Iterable[tuple[str, Text]]:
    frame = story.effective
    if frame is None:
        is_golden = any(event.get("golden") for event in story.decisions)
        words = "of a golden part, which counts in nothing else" if is_golden else "none recorded"
        yield "decision", Text(words, style="" if is_golden else "bold red")
    else:
        yield "part", _text(f"{frame.part_id}  lot {frame.lot_id}  product {frame.product_id}")
        yield "where", _text(f"{frame.line}/{frame.station}, trigger {frame.trigger_seq}")
        yield "captured", _text(frame.captured_at.isoformat())
        yield "action", Text(f"{frame.action} ({frame.severity})", _COLOURS.get(frame.action, ""))
        yield "why", _text(frame.reason)
        yield "rule", _text(f"{frame.rule}, policy {frame.policy_hash[:12]}")
    for event in story.anomalies[:1] or story.decisions[:1]:
        if inspection := event.get("inspection"):
            yield from _seen(Inspection.model_validate(inspection))
    for shot in story.shots:
        yield from _of_shot(shot)
    for event in story.decisions:
        yield from _decided(Decision.model_validate(event))
    for event in story.acknowledgements:
        ack = Acknowledgement.model_validate(event)
        took = ack.trigger_to_write_ms
        after = "" if took is None else f", {took:.0f} ms after the trigger"
        why = f" ({ack.detail})" if ack.detail else ""
        yield "PLC", _text(f"{ack.outcome}: {ack.action} by {ack.source}{after}{why}")
    for event in story.reviews:
        said = Review.model_validate(event)
        words = f"{said.severity} {said.class_name} by {said.reviewer}"
        if said.withdraws is not None:
            words = f"{said.reviewer} takes {said.withdraws} back"
        yield "review", _text(f"{words}, {said.reviewed_at.isoformat()}: {said.comment}")
    for event in story.dead_letters:
        letter = DeadLetter.model_validate(event)
        yield "dead letter", _text(f"{letter.stage}: {letter.error_type}: {letter.error}")
    for name, key in (("picture", story.image_key), ("mask", story.mask_key)):
        yield name, _text(key or "not kept")


def _of_shot(shot: ShotStory) -> Iterable[tuple[str, Text]]:
    name = f"shot {shot.shot}" + (f" {shot.name}" if shot.name else "")
    score = "" if shot.score is None else f", score {shot.score:.4g}"
    words = f"{shot.action}: {shot.class_name or shot.severity} by {shot.source}{score}"
    yield visible(name), _text(f"{words}, picture {shot.image_key or 'not kept'}")


def _seen(inspection: Inspection) -> Iterable[tuple[str, Text]]:
    odd = "odd" if inspection.anomalous else "normal"
    words = f"score {inspection.score:.4g}, threshold {inspection.threshold:.4g}, {odd}"
    version = inspection.expert_version[:12]
    yield "expert", _text(f"{words}, p {inspection.p_value:.3g}, version {version}")
    if region := inspection.region:
        size = f"{region.area_px:.0f} px2, longest side {region.longest_side_px:.0f} px"
        yield "region", _text(f"{region.count} pieces, {size}")


def _decided(decision: Decision) -> Iterable[tuple[str, Text]]:
    late = " (late)" if decision.is_late else ""
    yield f"by {decision.source}{late}", _text(f"{decision.action}: {decision.reason}")
    if answer := decision.classification:
        words = f"{answer.class_name}, confidence {answer.confidence:.2f}"
        origin = " ".join(s for s in (answer.classifier, answer.model) if s)
        yield "classifier", _text(f"{words}, {origin}, prompt {answer.prompt_hash[:12] or '-'}")
    if timings := decision.timings_ms:
        yield "timings", _text(", ".join(f"{k} {v:.0f} ms" for k, v in timings.items()))


def _text(words: str) -> Text:
    return Text(visible(words))
