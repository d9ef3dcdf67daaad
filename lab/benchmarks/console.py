"""The console under measure, in a real browser over a real broker, database and object store."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from andon.wiring import opened, storage
from lab.benchmarks.console_live import first_paint, reconnects, to_screen
from lab.benchmarks.console_pages import PageFindings, look_at_pages
from lab.benchmarks.console_parts import record_parts
from lab.benchmarks.console_review import review_by_keys
from lab.harness.chromium import started_chromium
from lab.harness.console_here import ConsoleHere, console_here
from lab.progress import Say

SHOWN_PARTS: Final = 200


@dataclass(frozen=True)
class ConsoleBenchmark:
    """What is measured, and how long."""

    seconds: float = 60.0
    """How long parts come for the latency to the screen; 0 leaves it out."""
    rate_per_s: float = 10.0
    cuts: int = 50
    """Connections that are cut, one after the other; 0 leaves it out."""
    restarts: int = 5
    """Among them so many are the console killed and started again."""
    rate_while_cut_per_s: float = 2.0
    starts: int = 5
    """How often the live page is opened cold; 0 leaves it out."""
    looks: int = 3
    """In so many windows every page is looked at; 0 leaves it out."""
    verdicts: int = 100
    """How many parts are reviewed by keys; 0 leaves it out."""
    axe: str = ""
    """The text of ``axe.min.js`` of axe-core; empty leaves its check out."""


async def benchmark_console(options: ConsoleBenchmark, folder: Path, say: Say) -> dict[str, object]:
    """Measure what a browser sees.

    Raises:
        AndonError: no Chromium, or a component did not come up.
    """
    found: dict[str, object] = {"load_of_the_host_before": round(os.getloadavg()[0], 1)}
    async with started_chromium() as browser, console_here(folder) as here:
        frames = await _recorded(here)
        if options.starts:
            found["start"] = await first_paint(browser, here, options.starts)
        if options.looks:
            looked = await look_at_pages(browser, here, frames[0], options.axe, options.looks, say)
            found["pages"] = told_of_pages(looked, bool(options.axe))
        if options.verdicts:
            found["review"] = await review_by_keys(browser, here, options.verdicts)
        if options.seconds:
            found["screen"] = await to_screen(
                browser, here, options.seconds, options.rate_per_s, say
            )
        if options.cuts:
            found["reconnects"] = await reconnects(
                browser, here, options.cuts, options.restarts, options.rate_while_cut_per_s, say
            )
    return found


async def _recorded(here: ConsoleHere) -> list[UUID]:
    """Parts on Kafka, in the history and with pictures: what pages show. A stopped one is first."""
    async with (
        opened(storage.history_writer, here.settings) as history,
        opened(storage.image_store, here.settings) as store,
    ):
        return await record_parts(SHOWN_PARTS, here.publisher, history, store)


def told_of_pages(found: PageFindings, with_axe: bool) -> dict[str, object]:
    """What was found of the pages, as figures, with the first ones of each kind of trouble."""
    troubles = ("not_reached", "elsewhere", "refused", "errors", "too_wide", "axe")
    counts: dict[str, object] = {"pages": found.pages, "looks": found.looks}
    counts |= {name: len(getattr(found, name)) for name in troubles}
    if not with_axe:
        counts["axe"] = "not asked: name axe.min.js of axe-core with --axe"
    counts |= {"heaviest_gz_kb": found.heaviest_gz_kb, "heaviest": found.heaviest}
    seen = [f"{name}: {one}" for name in troubles for one in getattr(found, name)[:10]]
    return {**counts, **({"troubles": seen} if seen else {})}
