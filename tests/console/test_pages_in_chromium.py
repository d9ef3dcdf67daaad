"""Pages in Chromium over the real database: names that no plant should give, and paper."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from console.app import build_app
from history.console_audit import ConsoleAudit
from history.queries import History
from history.writer import PostgresHistoryWriter
from lab.harness.chromium import ChromiumPage, chromium_path, started_chromium
from streams.codes import Action, DecisionSource
from tests.console.make import parts_of
from tests.console.test_review_in_chromium import ClosableStore, served
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make
from tests.history.conftest import history as history
from tests.history.conftest import template as template
from tests.history.conftest import url as url
from tests.history.conftest import writer as writer
from tests.waiting import until

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(chromium_path() is None, reason="no Chromium: `apt-get install chromium`"),
]
LONG = "W" * 128
TURNED = "\N{RIGHT-TO-LEFT OVERRIDE}SKCART"
PART = make.frame_id(1)


@pytest_asyncio.fixture
async def console(
    writer: PostgresHistoryWriter, history: History, audit: ConsoleAudit
) -> AsyncIterator[tuple[str, ChromiumPage]]:
    """The console with a part of long names and one whose class turns what is beside it around."""
    held = (DecisionSource.CLASSIFIER, Action.HOLD)
    names = {"part_id": LONG, "product_id": LONG, "lot_id": LONG, "reason": LONG * 3}
    long, turned = make.decision(1, *held, LONG, **names), make.decision(2, *held, TURNED)
    await writer.add_decisions([long, turned])
    store = ClosableStore(InMemoryImageStore())
    app = build_app(parts_of(history=history, audit=audit, store=store))
    async with served(app) as base, started_chromium() as browser:
        page = await browser.page()
        await page.cookie(base, "andon_session", "quality")
        yield base, page


@pytest.mark.parametrize("path", ["/history", "/history?view=list", f"/parts/{PART}", "/pareto"])
async def test_a_long_name_widens_no_page(console: tuple[str, ChromiumPage], path: str) -> None:
    base, page = console
    for size in ("desk", "tablet", "phone"):
        await page.dress(size, False)
        await page.open(base + path)
        wider = "document.documentElement.scrollWidth - innerWidth"
        assert await page.value(wider, int) <= 0, size
    await page.dress("desk", False)
    await page.open(base + path)
    wider = "Math.max(0, ...[...document.querySelectorAll('.scroll')].map("
    wider += "(one) => one.scrollWidth - one.clientWidth))"
    assert await page.value(wider, int) == 0, "every column of a table is seen on a desk"


async def test_a_name_turns_nothing_around_but_itself(console: tuple[str, ChromiumPage]) -> None:
    base, page = console
    await page.open(f"{base}/parts/{make.frame_id(2)}")
    isolated = "getComputedStyle(document.querySelector('.verdict strong')).unicodeBidi"
    assert await page.value(isolated, str) == "isolate"


async def test_paper_is_dark_on_white_and_has_no_controls(
    console: tuple[str, ChromiumPage],
) -> None:
    base, page = console
    await page.cookie(base, "andon_theme", "dark")
    await page.open(f"{base}/parts/{PART}")
    ink = "getComputedStyle(document.querySelector('h1')).color.match(/\\d+/g).map(Number)"
    ink = f"Math.max(...{ink})"
    assert await page.value(ink, int) > 200, "light on the dark screen"
    await page.ask("Emulation.setEmulatedMedia", media="print")
    assert await page.value(ink, int) < 60
    shown = (
        "[...document.querySelectorAll('.bar, button')].filter((one) => one.offsetParent).length"
    )
    assert await page.value(shown, int) == 0


STREAMS = """
window.streams = [];
window.EventSource = class extends EventSource {
  constructor(...asked) { super(...asked); streams.push(this); }
};
window.see = (is) => {
  Object.defineProperty(document, "hidden", { value: !is, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
};
"""
STATES = "streams.map((one) => one.readyState).join()"


async def holds(page: ChromiumPage, expression: str) -> None:
    """Wait until something holds in the page."""
    look = f"const look = () => ({expression}) ? go('yes') : setTimeout(look, 20); look();"
    await page.value(f"new Promise((go) => {{ {look} }})", str)


@pytest.mark.parametrize("path", ["/live", "/line"])
async def test_a_page_that_nobody_sees_has_no_connection(
    console: tuple[str, ChromiumPage], path: str
) -> None:
    base, page = console
    await page.before_pages(STREAMS)
    await page.open(base + path)
    await holds(page, f"{STATES} === '1'")
    await page.value("see(false), ''", str)
    assert await page.value(STATES, str) == "2", "six of them are all that a browser has"
    await page.value("see(true), see(true), ''", str)
    await holds(page, f"{STATES} === '2,1'")


async def test_a_session_that_ended_meanwhile_leads_to_the_login(
    console: tuple[str, ChromiumPage],
) -> None:
    base, page = console
    await page.before_pages(STREAMS)
    await page.open(f"{base}/live")
    await holds(page, f"{STATES} === '1'")
    await page.value("see(false), ''", str)
    await page.cookie(base, "andon_session", "nobody's")
    await page.value("see(true), ''", str)
    await until(lambda: any(f"{base}/login" in asked for asked in page.requests), 30.0)
