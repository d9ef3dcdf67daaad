"""Reviewing in Chromium by keys alone: a hundred verdicts, taking back, painting; prints figures.

The real pages over the real database; what is sent is in the history at once, as record does it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import cv2
import numpy as np
import pytest
import pytest_asyncio
import uvicorn

from console.app import build_app
from history.console_audit import ConsoleAudit
from history.filters import FrameFilter
from history.policy_log import PolicyLog
from history.queries import History
from history.review_leases import ReviewLeases
from history.writer import PostgresHistoryWriter
from infra.stack.process import free_port
from lab.benchmarks.console_review import PRESS
from lab.harness.chromium import ChromiumPage, chromium_path, started_chromium
from streams.codes import Action, DecisionSource
from streams.events import Review
from streams.ids import image_key
from streams.regions import region_mask
from tests.console.make import parts_of
from tests.console.test_review_page import BODY, HASH, Recorded, Taught
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
    pytest.mark.skipif(chromium_path() is None, reason="no Chromium: `apt-get install chromium`"),
]
PARTS = 120
VERDICTS = 100


@dataclass
class Desk:
    """A browser at the page of whoever reviews."""

    page: ChromiumPage
    base: str

    async def press(self, *keys: str) -> dict[str, object]:
        """Press keys that are verdicts; what the page measured."""
        found: dict[str, object] = json.loads(await self.page.value(PRESS % json.dumps(keys), str))
        return found

    async def key(self, *names: str) -> None:
        """Press keys as a person does."""
        for name in names:
            text = {"text": name} if len(name) == 1 else {}
            for kind in ("keyDown", "keyUp"):
                await self.page.ask("Input.dispatchKeyEvent", type=kind, key=name, **text)

    async def until(self, expression: str) -> None:
        """Wait until something holds in the page."""
        look = f"const look = () => ({expression}) ? go('yes') : setTimeout(look, 20); look();"
        await self.page.value(f"new Promise((go) => {{ {look} }})", str)

    async def part(self) -> str:
        """The part on the screen."""
        return await self.page.value("document.querySelector('#stage article').dataset.part", str)


@asynccontextmanager
async def served(app: object) -> AsyncIterator[str]:
    """The application at an address of loopback."""
    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, 60.0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@pytest_asyncio.fixture
async def desk(
    url: str,
    writer: PostgresHistoryWriter,
    history: History,
    audit: ConsoleAudit,
    leases: ReviewLeases,
) -> AsyncIterator[Desk]:
    log = PolicyLog(url)
    await log.store_version(HASH, "tile", {**BODY, "audit_share": 0.0, "second_review": 0.0})
    await log.close()
    held = (DecisionSource.CLASSIFIER, Action.HOLD, "crack")
    store, random = InMemoryImageStore(), np.random.default_rng(3)
    await writer.add_decisions([make.decision(n, *held, policy_hash=HASH) for n in range(PARTS)])
    await writer.add_anomalies([make.anomaly(n) for n in range(PARTS)])
    for number in range(PARTS):
        picture = random.integers(0, 255, (512, 512, 3), dtype=np.uint8)
        body = cv2.imencode(".jpg", picture)[1].tobytes()
        await store.put(image_key(make.frame_id(number)), body, "image/jpeg")
    parts = parts_of(
        history=history,
        audit=audit,
        leases=leases,
        store=ClosableStore(store),
        publisher=Recorded(writer),
        lessons=Taught(),
    )
    async with served(build_app(parts)) as base, started_chromium() as browser:
        page = await browser.page()
        await page.cookie(base, "andon_session", "quality")
        await page.open(f"{base}/review?since=2026-01-01")
        found = Desk(page, base)
        await found.until("document.querySelector('#stage article')")
        yield found
        assert page.errors == []
        assert [asked for asked in page.requests if not asked.startswith(base)] == []
        assert await page.value("andonRefused.length", int) == 0


class ClosableStore(InMemoryImageStore):
    """The store of a console that ends."""

    def __init__(self, of: InMemoryImageStore) -> None:
        vars(self).update(vars(of))

    async def close(self) -> None: ...


@pytest.mark.timeout(300)
async def test_a_hundred_verdicts_by_keys_are_a_hundred_reviews(
    desk: Desk, history: History
) -> None:
    keys = ["n", "1", "2", "d", "u"] * (VERDICTS // 5)
    found = await desk.press(*keys)
    print(  # noqa: T201 - a figure for whoever asks
        f"{found['verdicts']} verdicts in {found['seconds']:.1f} s, next picture "
        f"p50 {found['next_p50_ms']:.0f} ms, p95 {found['next_p95_ms']:.0f} ms"
    )
    assert (found["verdicts"], found["not_taken"]) == (VERDICTS, 0)
    reviewed = (await history.list_frames(FrameFilter(reviewed=True), 1000)).frames
    assert len(reviewed) == VERDICTS
    stats = await history.stats(FrameFilter())
    assert stats.reviewed == VERDICTS
    said = [frame.review.severity for frame in reviewed if frame.review is not None]
    assert sorted(said) == sorted(["normal", "defect", "negligible", "defect", "unknown"] * 20)


@pytest.mark.timeout(300)
async def test_a_verdict_is_taken_back_and_said_again(desk: Desk, history: History) -> None:
    first = await desk.part()
    await desk.press("n", "n")
    second = await desk.page.value("document.querySelectorAll('#said li').length", int)
    assert second == 2
    await desk.key("z")
    await desk.until("document.querySelectorAll('#said li').length === 1")
    await desk.key("z")
    await desk.until("document.querySelectorAll('#said li').length === 0")
    assert await desk.part() == first
    assert (await history.stats(FrameFilter())).reviewed == 0
    assert (await desk.press("1"))["verdicts"] == 1
    (only,) = (await history.list_frames(FrameFilter(reviewed=True))).frames
    assert str(only.frame_id) == first
    assert only.review is not None
    assert only.review.class_name == "crack"


@pytest.mark.timeout(300)
async def test_outline_heat_zoom_and_paint_by_keys(desk: Desk, history: History) -> None:
    shown = "document.querySelector('#stage svg.{}').hasAttribute('hidden')"
    for key, name in (("o", "outline"), ("h", "heat")):
        before = await desk.page.value(shown.format(name), bool)
        await desk.key(key)
        assert await desk.page.value(shown.format(name), bool) is not before
    await desk.key("+", "+")
    assert "scale(1.96)" in await desk.page.value(
        "document.querySelector('#stage .view').style.transform", str
    )
    await desk.key("0")
    part = await desk.part()
    await desk.key("m")
    await desk.until("document.activeElement.tagName === 'CANVAS'")
    await desk.key("x", "]", "]", "ArrowRight", " ", "ArrowDown", " ")
    assert (await desk.press("1"))["verdicts"] == 1
    (review,) = [Review.model_validate(told) for told in (await history.show(UUID(part))).reviews]
    assert review.region is not None
    mask = region_mask(review.region)
    assert (review.region.image_height, review.region.image_width) == (512, 512)
    assert 0.0005 < mask.mean() < 0.02, "two dabs near the middle, nothing else"
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - mask.shape[0] / 2) < 40
    assert abs(columns.mean() - mask.shape[1] / 2) < 40


@pytest.mark.timeout(300)
async def test_keys_can_be_switched_off_and_notes_are_typed(desk: Desk, history: History) -> None:
    part = await desk.part()
    await desk.key("c")
    await desk.until("document.activeElement.matches('[data-note]')")
    await desk.key("n", "u")
    assert await desk.part() == part, "letters of a note are no verdicts"
    await desk.key("Escape")
    await desk.page.value("document.querySelector('[data-keys]').click(), 'off'", str)
    await desk.key("d")
    assert await desk.part() == part
    await desk.page.value("document.querySelector('[data-keys]').click(), 'on'", str)
    assert (await desk.press("d"))["verdicts"] == 1
    (only,) = (await history.list_frames(FrameFilter(reviewed=True))).frames
    assert only.review is not None
    assert (only.review.severity, only.review.comment) == ("defect", "nu")


@pytest.mark.timeout(300)
async def test_whose_session_has_ended_is_told_where_to_log_in(desk: Desk) -> None:
    part = await desk.part()
    await desk.page.cookie(desk.base, "andon_session", "nobody's")
    await desk.key("n")
    await desk.until("!document.getElementById('review-problem').hidden")
    words = "document.getElementById('review-problem').textContent"
    assert "Your session has ended" in await desk.page.value(words, str)
    link = "document.querySelector('#review-problem a').pathname"
    assert await desk.page.value(link, str) == "/login"
    assert await desk.part() == part, "to be said again"
    await desk.page.cookie(desk.base, "andon_session", "quality")
    assert (await desk.press("n"))["verdicts"] == 1
    desk.page.errors[:] = [told for told in desk.page.errors if "401" not in told]


@pytest.mark.timeout(300)
async def test_who_leaves_before_a_verdict_is_taken_is_asked(desk: Desk) -> None:
    leave = "(() => { const one = new Event('beforeunload', { cancelable: true });"
    leave += " dispatchEvent(one); return one.defaultPrevented; })()"
    assert await desk.page.value(leave, bool) is False
    slow = "window.fetch = ((real) => async (...asked) => { await new Promise((go) =>"
    await desk.page.value(
        f"{slow} (window.goOn = go)); return real(...asked); }})(fetch), 'slow'", str
    )
    await desk.key("n")
    assert await desk.page.value(leave, bool) is True
    await desk.page.value("goOn(), 'on'", str)
    await desk.until("document.querySelectorAll('#said li').length === 1")
    assert await desk.page.value(leave, bool) is False


@pytest.mark.timeout(300)
async def test_a_finger_on_the_whole_picture_moves_the_page(desk: Desk) -> None:
    touch = "getComputedStyle(document.querySelector('#stage .lens')).touchAction"
    assert await desk.page.value(touch, str) == "auto"
    await desk.key("+")
    assert await desk.page.value(touch, str) == "none", "it moves the picture"
    await desk.key("0")
    assert await desk.page.value(touch, str) == "auto"
