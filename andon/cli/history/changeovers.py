"""``andon history changeovers``: changes of the recipe on record."""

import json
from typing import Annotated

import typer

from andon.cli.history import output
from andon.cli.history.asking import ask, moment
from andon.cli.options import Json

Text = str | None


def changeovers(
    line: Annotated[Text, typer.Option(help="Line.")] = None,
    station: Annotated[Text, typer.Option(help="Station.")] = None,
    since: Annotated[Text, typer.Option(help="From: 30d, 2h, 2026-11-23 (UTC), ISO time.")] = None,
    until: Annotated[Text, typer.Option(help="Up to, exclusive; the same forms.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest ones to show.")] = 50,
    as_json: Json = False,
) -> None:
    """Changes of the recipe, newest first: from what to what, how they ended, how long they took.

    Times by stage: exposure (waited for before anyone is asked), inspect (policy read, expert
    loaded and warm in every replica), camera (its features set), drain (until the parts captured
    before were decided). A refused one has the FaultCode that the controller was told.
    """
    began = moment(since) if since else None
    ended = moment(until) if until else None
    found = ask(lambda history: history.changeovers(line, station, began, ended, limit))
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found]))
    else:
        output.print_changeovers(found)
