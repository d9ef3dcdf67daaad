"""``andon history months``: tables by month, and parts made ahead."""

import asyncio
from typing import Annotated

import typer
from rich.filesize import decimal

from andon.cli.history.asking import moment, usage_errors
from andon.cli.options import Json
from andon.cli.printing import print_found, table_of_rows
from andon.settings import load_settings
from history.months import MONTHS_AHEAD, add_months, list_months
from streams.ids import minted_at


def months(
    ahead: Annotated[
        int, typer.Option(min=0, max=120, help="So many months after this one have a part.")
    ] = MONTHS_AHEAD,
    since: Annotated[
        str | None, typer.Option(help="Make the months since then too: 2026-01-01, 365d.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the parts of the months to come, and show those of each table with their size.

    The role record makes them when it starts and once a day. Events of a month without a part go to
    `_other` and are moved when it is made. A table that an earlier version filled is brought into
    parts by `andon history migrate`, or by the role record beside its work.
    """
    url = load_settings().postgres.url.get_secret_value()
    begin = moment(since) if since else None
    with usage_errors():
        made = asyncio.run(add_months(url, ahead, begin))
    parts = asyncio.run(list_months(url))
    rows = [
        (
            part.name,
            f"{minted_at(part.begins):%Y-%m-%d}" if part.begins else "",
            f"{minted_at(part.ends):%Y-%m-%d}" if part.ends else "",
            decimal(part.bytes),
        )
        for part in parts
    ]
    shown = table_of_rows(("part", "from", "until", "size"), rows)
    found = {"made": made, "parts": [part.model_dump(mode="json") for part in parts]}
    print_found(found, [shown, f"{made} parts made"], as_json)
