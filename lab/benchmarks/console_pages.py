"""Every page of the console in Chromium: what it asks for, says as an error and weighs, and axe.

Which pages there are is read from ``console.pages.PAGES`` and the table of rights, so that a new
page is measured with the others.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp

from console.access import ACCESS
from console.assets import KINDS, asset
from console.identity import COOKIE
from console.pages import PAGES
from lab.harness.chromium import Chromium, ChromiumPage
from lab.harness.console_here import ConsoleHere
from lab.progress import Say

SETTLE_MS: Final = 400
RULES: Final = ("wcag2a", "wcag2aa", "wcag21aa", "wcag22aa")
_LOOKS: Final = (("desk", False), ("tablet", True), ("phone", False))
"""Window and whether the device is dark; each page is seen in all of them."""
_NEVER: Final = ("/static/", "/pictures/", "/api/", "/live/events")


@dataclass
class PageFindings:
    """What was found of all pages together."""

    pages: int = 0
    looks: int = 0
    not_reached: list[str] = field(default_factory=list)
    """Routes of pages that answered no page."""
    elsewhere: list[str] = field(default_factory=list)
    """Requests to another host."""
    refused: list[str] = field(default_factory=list)
    """What the content policy refused."""
    errors: list[str] = field(default_factory=list)
    too_wide: list[str] = field(default_factory=list)
    """Pages that are wider than their window."""
    axe: list[str] = field(default_factory=list)
    heaviest_gz_kb: float = 0.0
    """Scripts, styles and icons of the heaviest page, compressed, 1000 bytes each."""
    heaviest: str = ""


def addresses(frame_id: UUID) -> Iterator[str]:
    """What can be asked for with GET: the pages of the bar, their states, and of other routes one.

    >>> "/live" in list(addresses(UUID(int=0)))
    True
    """
    found = [page.link.path for page in PAGES if page.link is not None]
    found += [state for page in PAGES for state in page.states]
    for method, path in ACCESS:
        if method != "GET" or path.startswith(_NEVER):
            continue
        found.append(path.replace("{frame_id}", str(frame_id)))
    yield from dict.fromkeys(path for path in found if "{" not in path)


async def pages_of(here: ConsoleHere, frame_id: UUID) -> tuple[list[str], list[str]]:
    """Addresses that answer a whole page of ours, and those that failed to."""
    pages, failed = [], []
    headers = {"Accept": "text/html"}
    async with aiohttp.ClientSession(headers={"Cookie": f"{COOKIE}={here.secret}"}) as client:
        for path in addresses(frame_id):
            async with client.get(here.console.base + path, headers=headers) as answer:
                kind, landed = answer.content_type, str(answer.url.path_qs)
                body = await answer.text() if kind == "text/html" else ""
                if answer.status >= 500:
                    failed.append(f"{path}: {answer.status}")
                elif "<main" in body and landed not in pages:
                    pages.append(landed)
    return pages, failed


async def look_at_pages(
    browser: Chromium, here: ConsoleHere, frame_id: UUID, axe: str, looks: int, say: Say
) -> PageFindings:
    """Open every page in several windows and tell what is wrong with it.

    Args:
        looks: in so many windows of different sizes, one to three.
        axe: the text of ``axe.min.js`` of axe-core; empty leaves that check out.
    """
    pages, failed = await pages_of(here, frame_id)
    found = PageFindings(pages=len(pages), not_reached=failed)
    for size, is_dark in _LOOKS[:looks]:
        for path in pages:
            page = await browser.page(size, is_dark)
            if path != "/login":
                await page.cookie(here.console.base, COOKIE, here.secret)
            await page.open(here.console.base + path)
            await page.value(f"new Promise((done) => setTimeout(() => done(1), {SETTLE_MS}))", int)
            await _note(found, page, here.console.base, f"{path} {size}", axe)
            await page.close()
        say(f"{len(pages)} pages in a window of the size of a {size}")
    return found


async def _note(
    found: PageFindings, page: ChromiumPage, base: str, name: str, axe: str = ""
) -> None:
    found.looks += 1
    asked = [address for address in page.requests if not address.startswith("data:")]
    found.elsewhere += [f"{name}: {a}" for a in asked if not a.startswith(f"{base}/")]
    refused = json.loads(await page.value("JSON.stringify(andonRefused)", str))
    found.refused += [f"{name}: {one}" for one in refused]
    own = base + name.rpartition(" ")[0]  # a page that refuses says so with its own status
    found.errors += [
        f"{name}: {e}" for e in page.errors if not ("status of 4" in e and e.endswith(own))
    ]
    if await page.value("document.documentElement.scrollWidth > innerWidth", bool):
        found.too_wide.append(name)
    weight = gz_bytes(asked) / 1000
    if weight > found.heaviest_gz_kb:
        found.heaviest_gz_kb, found.heaviest = round(weight, 1), name
    if axe:
        await page.value(f"{axe}; 1", int)
        options = json.dumps({"runOnly": RULES})
        asked_axe = (
            f"axe.run(document, {options}).then((r) => JSON.stringify(r.violations.map((v) => "
            "`${v.id}: ${v.nodes.map((n) => n.target).slice(0, 3).join(' ')}`)))"
        )
        found.axe += [f"{name}: {one}" for one in json.loads(await page.value(asked_axe, str))]


def gz_bytes(requests: list[str]) -> int:
    """The compressed size of the scripts, styles and icons among these addresses."""
    names = {urlsplit(a).path.rpartition("/")[2] for a in requests if "/static/" in a}
    return sum(len(gzip.compress(asset(name))) for name in names & KINDS.keys())
