"""The live page under measure: from Kafka to the screen, over broken connections, and its start."""

import asyncio
import json
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import aiohttp

from console.identity import COOKIE
from lab.benchmarks.console_parts import PublishedParts, publish_at, publish_part
from lab.harness.chromium import Chromium, ChromiumError, ChromiumPage
from lab.harness.console_here import ConsoleHere
from lab.harness.slow_link import Link, SlowLink, slow_link
from lab.percentiles import percentile
from lab.progress import Say

Figures = dict[str, float | int | str]
CLIENTS: Final = 19
"""Programs that listen to the same stream besides Chromium."""
_FAST: Final = 1e9
_FIRST_PAINT: Final = """
new Promise((done) => new PerformanceObserver((list) => {
  const paint = list.getEntriesByName("first-contentful-paint")[0];
  if (paint) done(paint.startTime + 0.001);
}).observe({ type: "paint", buffered: true }))
"""
_ROWS: Final = """
addEventListener("DOMContentLoaded", () => {
  const live = document.getElementById("live");
  if (!live) return;
  const told = new Set();
  const look = () => {
    const at = Date.now();
    const rows = [...live.querySelectorAll(".row")];
    const fresh = rows.map((row) => row.id).filter((id) => !told.has(id));
    for (const id of fresh) told.add(id);
    const doubles = rows.length - new Set(rows.map((row) => row.id)).size;
    const done = rows.filter((row) => row.querySelector(".plc.acknowledged")).map((row) => row.id);
    andonTell(JSON.stringify({ at, fresh, doubles, done }));
  };
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(look)))
    .observe(live, { childList: true, subtree: true });
  look();
});
"""
"""Says which rows are on the screen: after the frame that shows them has been drawn."""


@dataclass
class SeenRows:
    """What one browser or program was shown."""

    at_s: dict[UUID, float] = field(default_factory=dict)
    """When each part was seen first."""
    told: set[UUID] = field(default_factory=set)
    """Parts that were seen with what the controller said of them."""
    doubles: int = 0
    """How often a part stood twice on the page, or came twice without anything new."""


def seen_rows(page: ChromiumPage) -> SeenRows:
    """What the page has told, see ``_ROWS``."""
    found = SeenRows()
    for said in map(json.loads, page.told):
        for row in said["fresh"]:
            found.at_s.setdefault(UUID(row[1:]), said["at"] / 1000)
        found.told.update(UUID(row[1:]) for row in said["done"])
        found.doubles += said["doubles"]
    return found


@dataclass
class StreamListener:
    """A program that reads the stream as a browser does: it gives the last id back."""

    here: ConsoleHere
    base: str
    seen: SeenRows = field(default_factory=SeenRows)
    connections: int = 0
    _last: str = ""
    _coming: dict[str, str] = field(default_factory=dict)
    """The message that is being read: it counts, and its id holds, once it is whole."""
    _shown: dict[str, str] = field(default_factory=dict)

    async def listen(self, client: aiohttp.ClientSession) -> None:
        """Listen for ever, over every break; cancel it."""
        while True:
            headers = {"Authorization": f"Bearer {self.here.token}"}
            headers |= {"Last-Event-ID": self._last} if self._last else {}
            try:
                self._coming = {}
                async with client.get(f"{self.base}/live/events", headers=headers) as answer:
                    self.connections += answer.status == 200
                    async for line in answer.content:
                        self._take(line.decode().rstrip("\n"))
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                pass
            await asyncio.sleep(0.2)

    def _take(self, line: str) -> None:
        if line:
            name, _, value = line.partition(": ")
            self._coming[name] = value
            return
        message, self._coming = self._coming, {}
        self._last = message.get("id", self._last)
        now = asyncio.get_running_loop().time()
        for part in json.loads(message.get("data", "{}")).get("parts", ()):
            identity, html = part["id"], part["html"]
            self.seen.doubles += self._shown.get(identity) == html
            self._shown[identity] = html
            self.seen.at_s.setdefault(UUID(identity), now)
            if 'class="plc acknowledged' in html:
                self.seen.told.add(UUID(identity))


@asynccontextmanager
async def listeners(
    here: ConsoleHere, base: str, count: int
) -> AsyncIterator[list[StreamListener]]:
    """Programs that listen, each over a connection of its own."""
    made = [StreamListener(here, base) for _ in range(count)]
    wait = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=10)
    async with AsyncExitStack() as stack:
        own = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(connector=own, timeout=wait, read_bufsize=1 << 21)
        client = await stack.enter_async_context(session)
        tasks = [asyncio.create_task(one.listen(client)) for one in made]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def page_of(browser: Chromium, here: ConsoleHere, base: str = "") -> ChromiumPage:
    """A tab in which the administrator is logged in."""
    page = await browser.page()
    await page.cookie(base or here.console.base, COOKIE, here.secret)
    return page


async def first_paint(browser: Chromium, here: ConsoleHere, runs: int) -> Figures:
    """The live page in a browser that has nothing of it: first paint and load, medians, seconds."""
    paints, loads = [], []
    for _ in range(runs):
        page = await page_of(browser, here)
        await page.open(f"{here.console.base}/live")
        paints.append(await page.value(_FIRST_PAINT, float))
        loads.append(
            await page.value(
                'performance.getEntriesByType("navigation")[0].loadEventStart + 0.001', float
            )
        )
        await page.close()
    return {
        "first_paint_s": round(statistics.median(paints) / 1000, 3),
        "load_s": round(statistics.median(loads) / 1000, 3),
        "starts": runs,
    }


async def to_screen(
    browser: Chromium, here: ConsoleHere, seconds: float, rate_per_s: float, say: Say
) -> Figures:
    """From the hand-over of a decision to Kafka until it is drawn in Chromium, milliseconds."""
    page, published = await page_of(browser, here), PublishedParts()
    await page.before_pages(_ROWS)
    await page.open(f"{here.console.base}/live")
    async with listeners(here, here.console.base, CLIENTS) as programs:
        await _until(lambda: all(one.connections for one in programs))
        count = round(seconds * rate_per_s)
        say(f"{count} parts at {rate_per_s:g}/s, Chromium and {CLIENTS} programs listen")
        await publish_at(rate_per_s, count, here.publisher, published, first=1_000_000)
        wanted = published.at_s.keys()
        everybody = [one.seen for one in programs]
        await _until(
            lambda: (
                wanted <= seen_rows(page).at_s.keys()
                and all(wanted <= seen.at_s.keys() for seen in everybody)
            )
        )
    seen = seen_rows(page).at_s
    if not seen.keys() & wanted:
        raise ChromiumError(f"no part came to the screen; the page said {page.errors[:3]}")
    took = [1000 * (seen[one] - at) for one, at in published.at_s.items() if one in seen]
    heard = [len(wanted & one.seen.at_s.keys()) for one in programs]
    return {
        "parts": count,
        "not_seen": count - len(took) + sum(count - found for found in heard),
        "p50_ms": round(percentile(took, 0.5)),
        "p95_ms": round(percentile(took, 0.95)),
        "p99_ms": round(percentile(took, 0.99)),
        "most_ms": round(max(took)),
    }


async def reconnects(
    browser: Chromium, here: ConsoleHere, cuts: int, restarts: int, rate_per_s: float, say: Say
) -> Figures:
    """Connections cut while parts come, the console killed among it: what was missed or doubled.

    A gap is a part, or what the controller did with it, that was never shown.
    """
    console = here.console
    async with slow_link(Link(_FAST), ("127.0.0.1", console.port)) as link:
        base = f"http://127.0.0.1:{link.port}"
        page, published = await page_of(browser, here, base), PublishedParts()
        await page.before_pages(_ROWS)
        await page.open(f"{base}/live")
        async with listeners(here, base, CLIENTS) as programs:
            await _until(lambda: all(one.connections for one in programs))
            ending = asyncio.Event()
            feeding = asyncio.create_task(_feed(here, published, rate_per_s, ending))
            kills = {round((n + 1) * cuts / (restarts + 1)) for n in range(restarts)}
            for number in range(cuts):
                await _cut(here, link, number in kills, programs, page)
                if number % 10 == 9:
                    say(f"{number + 1} of {cuts} cuts, {len(published.at_s)} parts")
            ending.set()
            await feeding
            wanted = set(published.at_s)
            await _until(
                lambda: (
                    wanted <= seen_rows(page).told
                    and all(wanted <= one.seen.told for one in programs)
                ),
                30.0,
            )
    shown = [seen_rows(page), *(one.seen for one in programs)]
    gaps = Counter({n: len(wanted - one.told) for n, one in enumerate(shown)})
    return {
        "cuts": cuts,
        "restarts_among_them": len(kills),
        "parts": len(wanted),
        "rate_per_s": rate_per_s,
        "gaps": gaps.total(),
        "doubles": sum(one.doubles for one in shown),
        "connections": sum(one.connections for one in programs),
    }


async def _cut(
    here: ConsoleHere,
    link: SlowLink,
    with_console: bool,
    programs: list[StreamListener],
    page: ChromiumPage,
) -> None:
    """One break; returns once everybody listens again, Chromium too."""
    if with_console:
        await asyncio.to_thread(here.console.kill)
        await link.close()
        await asyncio.to_thread(here.console.start)
    before, told = [one.connections for one in programs], len(page.told)
    await link.close()
    await _until(
        lambda: (
            all(p.connections > n for p, n in zip(programs, before, strict=True))
            and len(page.told) > told
        )
    )


async def _feed(
    here: ConsoleHere, published: PublishedParts, rate_per_s: float, ending: asyncio.Event
) -> None:
    number = 2_000_000
    while not ending.is_set():
        await publish_part(number, here.publisher, published)
        number += 1
        try:
            async with asyncio.timeout(1 / rate_per_s):
                await ending.wait()
        except TimeoutError:
            continue


async def _until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for something that comes; a figure says so where it never did."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        if is_so() or loop.time() > deadline:
            return
        await asyncio.sleep(0.05)
