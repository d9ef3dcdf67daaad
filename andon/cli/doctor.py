"""``andon doctor``: could a part be decided now, and if not, why?"""

import asyncio
import logging
from dataclasses import asdict
from typing import Annotated

import structlog
import typer

from andon.checks import CHECKS, examine, examine_products
from andon.checks.findings import Finding
from andon.cli.options import Json
from andon.cli.printing import plain, print_found, table_of_rows
from andon.settings import Settings, load_settings

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    only: Annotated[
        list[str] | None, typer.Argument(help="Checks to run; all without.", show_default=False)
    ] = None,
    product: Annotated[
        str | None,
        typer.Option("--product", "-p", help="This product; every one with a policy without."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A check that is not asked; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Could a part be decided now, and if not, why? Exit code 1 when something fails.

    Every dependency is asked what matters for it, and every product that has a policy in force
    whether a part of it could be decided. With names of checks only those are run. `exposure` warns
    of connections that leave this host in plain text, `certificates` of those that end within 30
    days.
    """
    names = [name for name in only or CHECKS if name not in (without or ())]
    if unknown := [name for name in (*names, *(without or ())) if name not in CHECKS]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(CHECKS)}")
    # what libraries and adapters would say meanwhile stands in the rows
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        findings = asyncio.run(_all(load_settings(), names, product, only is None or not only))
    finally:
        logging.disable(logging.NOTSET)
        structlog.reset_defaults()
    marks = {True: "[green]ok[/]", False: "[red]fails[/]"}
    warns = "[yellow]warns[/]"
    rows = (
        (warns if f.warns else marks[f.ok], plain(f.name), plain(f.detail), plain(f.remedy))
        for f in findings
    )
    table = table_of_rows(("", "check", "found", "what to do"), rows)
    table.columns[1].no_wrap = True
    print_found([asdict(f) for f in findings], [table], as_json)
    raise typer.Exit(0 if all(f.ok for f in findings) else 1)


async def _all(
    settings: Settings, names: list[str], product: str | None, with_products: bool
) -> list[Finding]:
    findings = await examine(settings, names)
    if with_products or product is not None:
        findings += await examine_products(settings, product, findings)
    return findings
