"""The options by which commands of ``andon history`` choose parts."""

from typing import Annotated

import typer
from pydantic import Field

from andon.cli.history.asking import moment, usage_errors
from andon.cli.options import More, MoreOptions, read_options
from history.filters import FrameFilter

Text = str | None
Line = Annotated[Text, typer.Option(help="Line.")]
Since = Annotated[Text, typer.Option(help="From: 30d, 2h, 2026-11-23 (UTC), ISO time.")]


class RarelyAsked(MoreOptions):
    """Parts of a filter that are given by ``--set``."""

    station: str | None = Field(None, description="Station.")
    part: str | None = Field(None, description="Serial number.")
    severity: str | None = Field(None, description="normal, negligible, defect, unknown.")
    source: str | None = Field(None, description="expert, classifier, fallback, watchdog.")
    reviewed: bool | None = Field(None, description="With a review (yes) or without one (no).")


def chosen_frames(
    product: Annotated[Text, typer.Option(help="Product id.")] = None,
    line: Line = None,
    since: Since = None,
    until: Annotated[Text, typer.Option(help="Up to, exclusive; the same forms.")] = None,
    action: Annotated[Text, typer.Option(help="pass, rework, scrap, hold.")] = None,
    class_name: Annotated[Text, typer.Option("--class", help="Anomaly class.")] = None,
    lot: Annotated[Text, typer.Option(help="Lot.")] = None,
    passed: Annotated[
        bool | None,
        typer.Option("--passed/--not-passed", help="Only parts that passed, or that did not."),
    ] = None,
    more: More = None,
) -> FrameFilter:
    """The filter behind the options of a command."""
    rarely = read_options(RarelyAsked, more).model_dump()
    with usage_errors():
        return FrameFilter(
            product=product,
            line=line,
            lot_id=lot,
            class_name=class_name,
            action=action,
            since=moment(since) if since else None,
            until=moment(until) if until else None,
            passed=passed,
            part_id=rarely.pop("part"),
            **rarely,
        )
