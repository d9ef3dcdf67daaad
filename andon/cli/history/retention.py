"""``andon history retain`` and ``andon history erase``: what is removed on purpose."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from andon.cli.options import Json
from andon.cli.printing import plain, print_found
from andon.deeds import deed_here
from andon.settings import Settings, load_settings
from andon.wiring import opened, storage
from andon.wiring.console import console_audit
from history.months import MonthPart
from history.retention.rows import drop_months, name_of
from history.retention.rules import DataClass, PartTrace
from history.retention.store import ErasedPart, RetentionStore
from history.retention.sweep import SweptObjects, sweep


def retain(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed; remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove the pictures whose time is over, each class of data at its own.

    `ANDON_RETENTION__PASSED_DAYS`, `__STOPPED_DAYS`, `__REVIEWED_DAYS`, `__CAPTURED_DAYS` and
    `__DEAD_DAYS`; 0 keeps a class for ever. Rows stay unless `ANDON_RETENTION__ROWS_DAYS` says
    for how long: then whole months are dropped, as the owner of the tables, and their counts stay.
    Run it once a day, with a key that may remove objects; the audit says what was removed.
    """
    settings = load_settings()
    swept = asyncio.run(_sweep(settings, dry_run, as_json))
    dropped = asyncio.run(_drop(settings, dry_run))
    verb = "would be removed" if swept.is_trial else "removed"
    days = settings.retention
    shown = [
        f"{kind.value}: {count} objects {verb}"
        + (", kept for ever" if days.of(kind) is None else "")
        for kind, count in swept.removed.items()
    ]
    shown += [f"rows: {', '.join(map(name_of, dropped))} {verb}"] if dropped else []
    found = swept.model_dump(mode="json") | {"months": [part.name for part in dropped]}
    print_found(found, shown, as_json)


def erase(
    part: Annotated[str, typer.Argument(help="The serial number, as the controller gave it.")],
    reason: Annotated[str, typer.Option(help="Why; the audit keeps it, without the number.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a serial number: its pictures are removed, its rows get a random name.

    What was decided stays, for the counts. Kafka forgets by its own retention, and a backup when it
    is made again. Run it as the owner of the tables. Exit code 1: nobody knows the number.
    """
    if not yes:
        typer.confirm(f"Forget {plain(part)} for good?", abort=True)
    erased = asyncio.run(_erase(load_settings(), part, reason))
    if not erased.parts and not erased.rows:
        print_found(erased.model_dump(), [f"no part is called {plain(part)}"], as_json)
        raise typer.Exit(1)
    rows = ", ".join(f"{count} of {table}" for table, count in erased.rows.items())
    print_found(
        erased.model_dump(), [f"{erased.parts} parts are {erased.name} now; rows: {rows}"], as_json
    )


async def _sweep(settings: Settings, dry_run: bool, is_quiet: bool) -> SweptObjects:
    loop, counts = asyncio.get_running_loop(), Counter[str]()

    def told(kind: DataClass, where: str, count: int) -> None:
        counts[kind.value] += count
        if count and not is_quiet:
            typer.echo(f"{where}: {count} of {kind.value}", err=True)

    try:
        async with opened(_store, settings) as store:

            def ask(frames: Sequence[UUID]) -> list[PartTrace]:
                return asyncio.run_coroutine_threadsafe(store.traces(frames), loop).result()

            objects, now = storage.s3_objects(settings), datetime.now(UTC)
            days = settings.retention
            return await asyncio.to_thread(sweep, objects, ask, days, now, told, dry_run)
    finally:  # what an interrupted run has removed is gone too
        if counts.total() and not dry_run:
            said = ", ".join(f"{counts[kind.value]} {kind.value}" for kind in DataClass)
            await _audited(settings, said)


async def _drop(settings: Settings, dry_run: bool) -> list[MonthPart]:
    """The parts of months whose time is over."""
    url, days = settings.postgres.url.get_secret_value(), settings.retention.rows_days
    if not days:
        return []
    before, dropped = datetime.now(UTC) - timedelta(days=days), list[MonthPart]()
    await drop_months(url, before, dropped.append, deed_here("history.retain"), dry_run)
    return dropped


async def _audited(settings: Settings, removed: str) -> None:
    async with opened(console_audit, settings) as audit:
        await audit.append(deed_here("history.retain", after=removed))


async def _erase(settings: Settings, part: str, reason: str) -> ErasedPart:
    async with opened(_store, settings) as store:
        keys = await store.pictures(part)
        if keys:  # first: afterwards nothing says whose they are
            await asyncio.to_thread(storage.s3_objects(settings).remove, keys)
        return await store.erase(part, deed_here("history.erase", reason=reason))


def _store(settings: Settings) -> RetentionStore:
    return RetentionStore(settings.postgres.url.get_secret_value(), timeout_s=60.0)
