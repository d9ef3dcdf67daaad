"""The line at this moment: its last parts, the last one that was stopped, the shift's counters."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final
from uuid import UUID

import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from console.feed.acknowledged import acknowledge
from console.feed.live_feed import LiveFeed, MissedParts
from console.feed.positions import Positions, furthest, is_beyond, read_positions, write_positions
from console.identity import asking, who_of
from console.pages.live_fragments import KEPT, SHOWN, LiveFragments, with_those_before
from console.parts import ConsoleParts
from console.rendering import Renderer, asked_language
from history.errors import BadQueryError, NotInHistoryError
from history.filters import FrameFilter
from streams.errors import UnavailableError

log = structlog.get_logger(__name__)
BEAT_S: Final = 2.0
"""A browser that hears nothing for three beats says that what it shows is old."""
GATHER_S: Final = 0.1
"""What comes within it is one message: ten parts a second are ten pictures, not a hundred pages."""
CHECK_S: Final = 5.0
"""How long a stream may outlive its session."""
_NOTHING: Final = {"parts": [], "lines": [], "fresh": False}
"""While the console catches up itself: what a browser lacks is known once it has."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    feed = parts.feed
    fragments = LiveFragments(renderer, feed)
    _add_find(app, parts)

    @app.get("/live", include_in_schema=False)
    def live(request: Request, part: UUID | None = None) -> Response:
        """The whole page as things stand, with a part in view if one is named."""
        word = feed.word if feed.is_fresh else ""
        views = fragments.lines(asked_language(request), part)
        alerts = fragments.alerts(asked_language(request))
        return renderer.page(
            request,
            "live.html",
            lines=views,
            alerts=alerts,
            word=word,
            is_fresh=feed.is_fresh,
            shown=SHOWN,
            kept=KEPT,
        )

    @app.get("/live/events", include_in_schema=False)
    async def events(request: Request, since: str = "") -> Response:
        """What changes, as server-sent events."""
        asked = read_positions(request.headers.get("last-event-id") or since)
        stream = _stream(request, feed, fragments, asked)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)

    @app.get("/live/parts/{identity}", include_in_schema=False)
    def focus(request: Request, identity: UUID) -> Response:
        """One of the last parts, large."""
        part = feed.state.part(identity)
        if part is None or part.decision is None:
            raise HTTPException(404, "this part is not among the last ones of its line")
        return HTMLResponse(fragments.focus(part, asked_language(request)))

    @app.post("/live/alerts/{alert_id}", include_in_schema=False)
    async def take_note(request: Request, alert_id: UUID) -> Response:
        """Somebody looks after a request to stop."""
        meant = feed.state.alerts.get(alert_id)
        if meant is None:
            raise HTTPException(404, "there is no such alert")
        for one in with_those_before(meant, feed.state.alerts.values()):
            deed = who_of(request).deed(request, "", str(one.alert_id))
            await acknowledge(parts.audit, feed, one.alert_id, deed)
        return RedirectResponse("/live", 303)


def _add_find(app: FastAPI, parts: ConsoleParts) -> None:
    @app.get("/find", include_in_schema=False)
    async def find(serial: str = "") -> Response:
        """The page of the part with that serial number, or of the frame."""
        serial = serial.strip()[:512]
        if not serial:
            return RedirectResponse("/history", 303)
        if found := parts.feed.state.find(serial):
            return RedirectResponse(f"/parts/{found[0].identity}", 303)
        try:
            return RedirectResponse(f"/parts/{await parts.history.resolve(serial)}", 303)
        except BadQueryError:
            page = await parts.history.list_frames(FrameFilter(part_id=serial), limit=1)
            return RedirectResponse(f"/parts/{page.frames[0].frame_id}", 303)
        except NotInHistoryError:
            raise HTTPException(404, f"no part {serial!r} is known") from None


async def _stream(
    request: Request, feed: LiveFeed, fragments: LiveFragments, asked: Positions
) -> AsyncIterator[str]:
    """Messages for one browser, until its session ends or it goes.

    ``asked`` is how far the browser is; what it has not been given comes from memory, or from Kafka
    where it was away for longer, or is slower, than what is remembered.
    """
    loop, language = asyncio.get_running_loop(), asked_language(request)
    seen, checked = 0, loop.time()
    while True:
        if feed.is_fresh and is_beyond(asked, feed.positions):
            yield _message("begin-again", {}, feed.word)
            return
        if not feed.is_fresh:
            yield _message("line", _NOTHING, write_positions(asked))
            await feed.wait(math.inf, BEAT_S)
        elif (told := _told(feed, fragments, seen, asked, language)) is not None:
            seen, asked = feed.state.changes, furthest(asked, feed.positions)
            yield _message("line", told, write_positions(asked))
            await feed.wait(seen, BEAT_S)
            if feed.state.changes > seen:
                await asyncio.sleep(GATHER_S)
        else:
            async with aclosing(_missed(feed, asked)) as pieces:
                async for piece in pieces:
                    asked = piece.positions
                    again = fragments.missed(piece, language)
                    yield _message("line", again, write_positions(asked))
        if loop.time() - checked > CHECK_S:
            checked = loop.time()
            if await asking(request) is None:
                yield _message("begin-again", {}, feed.word)
                return


def _told(
    feed: LiveFeed, fragments: LiveFragments, seen: int, asked: Positions, language: str
) -> dict[str, object] | None:
    """What is new to a browser; None where that is more than what is remembered."""
    return fragments.news(seen, asked, language) if feed.remembers(asked) else None


async def _missed(feed: LiveFeed, asked: Positions) -> AsyncGenerator[MissedParts, None]:
    """What is not remembered, from Kafka; nothing for a beat where it cannot be read now."""
    try:
        async with aclosing(feed.missed(asked)) as pieces:
            async for piece in pieces:
                yield piece
    except UnavailableError as error:
        log.warning("console.not_read_again", why=str(error)[:500])
        yield MissedParts((), asked, True)
        await asyncio.sleep(BEAT_S)


def _message(kind: str, data: object, word: str) -> str:
    return f"event: {kind}\nid: {word}\ndata: {json.dumps(data)}\n\n"
