"""A read-only HTTP API over the history: pages, stories, statistics, pictures.

No writes, no login: bind it to loopback or put the plant's own proxy before it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from history.errors import BadQueryError, NotInHistoryError
from history.filters import FrameFilter, parse_moment
from history.pictures import outlined, region_of
from history.queries import History
from history.records import Gaps, Page, Pareto, Stats, Story
from history.statistics import ParetoBy
from streams.codes import Action, DecisionSource, Severity
from streams.errors import UnavailableError, UndecodableImageError
from streams.ports import ImageStore


class Pictures(ImageStore, Protocol):
    """An image store that the application closes when it ends."""

    async def close(self) -> None: ...


Words = Annotated[str | None, Field(max_length=512)]
_PICTURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=31536000, immutable",
}


class FrameQuery(BaseModel):
    """Which frames a request's parameters ask for."""

    product: Words = None
    line: Words = None
    station: Words = None
    part_id: Annotated[Words, Field(alias="part")] = None
    lot_id: Annotated[Words, Field(alias="lot")] = None
    class_name: Annotated[Words, Field(alias="class")] = None
    action: Action | None = None
    severity: Severity | None = None
    source: DecisionSource | None = None
    since: Words = None
    until: Words = None
    passed: bool | None = None
    reviewed: bool | None = None


def _wanted(asked: Annotated[FrameQuery, Query()]) -> FrameFilter:
    moments = {"since": _moment(asked.since), "until": _moment(asked.until)}
    return FrameFilter(**asked.model_dump(mode="json") | moments)


def _moment(words: str | None) -> datetime | None:
    return parse_moment(words) if words else None


Wanted = Annotated[FrameFilter, Depends(_wanted)]


def build_app(history: History, store: Pictures) -> FastAPI:
    """The application over a history and an object store; it closes both when it ends."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await history.close()
        await store.close()

    app = FastAPI(title="Andon history", lifespan=life, openapi_url="/api/openapi.json")
    for kind, status in ((BadQueryError, 422), (NotInHistoryError, 404), (UnavailableError, 503)):
        app.add_exception_handler(kind, partial(_refused, status))
    _add_questions(app, history)
    _add_pictures(app, history, store)
    return app


async def _refused(status: int, _: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status)


def _add_questions(app: FastAPI, history: History) -> None:
    @app.get("/api/health")
    async def health() -> dict[str, str]:
        """Answers 200 when the database answers, 503 when it does not."""
        await history.list_frames(limit=1)
        return {"status": "ok"}

    @app.get("/api/frames")
    async def frames(
        wanted: Wanted,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: Annotated[str | None, Query(max_length=256)] = None,
    ) -> Page:
        """Frames with their effective decision, newest first."""
        return await history.list_frames(wanted, limit, cursor)

    @app.get("/api/frames/{frame_id}")
    async def story(frame_id: UUID) -> Story:
        """All that is known of a frame."""
        return await history.show(frame_id)

    @app.get("/api/stats")
    async def stats(wanted: Wanted, top: Annotated[int, Query(ge=1, le=1000)] = 10) -> Stats:
        """Counts, first-pass yield, the most frequent rules."""
        return await history.stats(wanted, top)

    @app.get("/api/pareto")
    async def pareto(
        wanted: Wanted,
        by: ParetoBy = ParetoBy.CLASS,
        top: Annotated[int, Query(ge=1, le=1000)] = 10,
    ) -> Pareto:
        """What most parts fall under, with the cumulative share."""
        return await history.pareto(wanted, by, top)

    @app.get("/api/gaps")
    async def gaps(line: Words = None, since: Words = None) -> Gaps:
        """What is missing from a complete history."""
        return await history.gaps(line, _moment(since))


def _add_pictures(app: FastAPI, history: History, store: Pictures) -> None:
    async def kept(key: str | None) -> bytes:
        try:
            return await store.get(key or "")
        except KeyError:
            raise HTTPException(404, "no picture of this frame is kept") from None

    @app.get("/api/frames/{frame_id}/image")
    async def image(frame_id: UUID) -> Response:
        """The picture as captured."""
        return _picture(await kept((await history.show(frame_id)).image_key))

    @app.get("/api/frames/{frame_id}/mask")
    async def mask(frame_id: UUID) -> Response:
        """The odd region, 255 inside."""
        return _picture(await kept((await history.show(frame_id)).mask_key))

    @app.get("/api/frames/{frame_id}/region")
    async def region(frame_id: UUID) -> Response:
        """The picture with the region's outline in red."""
        from fastapi.concurrency import run_in_threadpool

        story = await history.show(frame_id)
        odd, body = region_of(story), await kept(story.image_key)
        if odd is None:
            raise HTTPException(404, "this frame has no region")
        try:
            return _picture(await run_in_threadpool(outlined, body, odd))
        except UndecodableImageError as error:
            raise HTTPException(415, str(error)) from None


def _picture(body: bytes) -> Response:
    """A picture under the type that its bytes show: a browser must not run a part's picture."""
    kinds = (kind for magic, kind in _PICTURES.items() if body.startswith(magic))
    return Response(body, media_type=next(kinds, "application/octet-stream"), headers=_HEADERS)
