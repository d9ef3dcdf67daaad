"""``andon console audit``: what people did at the console, and whether the record is whole."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from andon.cli.options import Json
from andon.cli.printing import plain, print_found, table_of_rows
from andon.settings import load_settings
from andon.wiring.console import console_audit
from history.console_audit import AuditFinding, WrittenDeed


def audit(
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every row's hash. Exit code 1 if it fails.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest rows to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List what people did, newest first; with --verify say whether a row was changed or is gone.

    Write the last hash down elsewhere: rows cut off at the end are found by it alone.
    """
    if verify:
        found = asyncio.run(_verified())
        print_found(found.model_dump(), _finding(found), as_json)
        raise typer.Exit(0 if found.is_whole else 1)
    rows = asyncio.run(_latest(limit))
    print_found({"rows": [row.model_dump(mode="json") for row in rows]}, _table(rows), as_json)


async def _verified() -> AuditFinding:
    log = console_audit(load_settings())
    try:
        return await log.verify()
    finally:
        await log.close()


async def _latest(limit: int) -> list[WrittenDeed]:
    log = console_audit(load_settings())
    try:
        return await log.latest(limit)
    finally:
        await log.close()


def _finding(found: AuditFinding) -> Iterator[RenderableType]:
    if found.is_whole:
        yield f"{found.rows} rows, every one as it was written; last hash {found.last_hash or '-'}"
    else:
        yield f"[red]row {found.broken_at} was changed or is gone[/]; those before it are right"


def _table(rows: list[WrittenDeed]) -> Iterator[RenderableType]:
    columns = ("no", "time", "who", "how", "what", "to", "before", "after", "reason", "from")
    yield table_of_rows(
        columns,
        (
            [
                str(row.number),
                f"{row.at:%Y-%m-%d %H:%M:%S}",
                *map(plain, (row.actor, f"{row.via}/{row.login}", row.action, row.object)),
                *map(plain, (row.before[:12], row.after[:12], row.reason, row.address)),
            ]
            for row in rows
        ),
    )
