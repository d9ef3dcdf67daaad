"""The read-only HTTP API over the history: pages, stories, statistics, pictures."""

from collections import Counter
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from console.description import page
from console.frame_query import shift_in
from history.errors import BadQueryError
from history.filters import FrameFilter, parse_moment
from history.pictures import outlined, region_of
from history.plant_times import PlantTimes
from history.queries import History
from history.records import Gaps, Page, Pareto, Stats, Story
from history.statistics import ParetoBy
from streams.codes import Action, DecisionSource, Severity
from streams.errors import UndecodableImageError
from streams.ports import ImageStore

Words = Annotated[str | None, Field(max_length=512)]
_TIME = "`30d` or `2h` ago, `2026-11-23`, or an ISO time; UTC unless it names a zone."
Moment = Annotated[str | None, Field(max_length=64, description=_TIME)]
_PICTURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
_OTHER = "application/octet-stream"
PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, max-age=31536000, immutable",
}


class NoAnswer(BaseModel):
    """Why there is no answer, in words."""

    detail: str


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    loc: tuple[str | int, ...]
    """Where: ``query`` or ``path``, and the parameter's name."""
    msg: str
    type: str


class Mistakes(BaseModel):
    """Everything that is wrong with a request."""

    detail: tuple[Mistake, ...]


Answers = dict[int | str, dict[str, object]]
REFUSALS: Answers = {
    422: {"model": Mistakes, "description": "The request cannot be understood."},
    503: {"model": NoAnswer, "description": "The database or the object store does not answer."},
}
_MISSING: Answers = {404: {"model": NoAnswer, "description": "Nothing is known, or kept, of it."}}


def _pictures(*kinds: str) -> Answers:
    """The answers of a route that sends a picture."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {"description": "The picture.", "content": dict.fromkeys(kinds, binary)},
        **_MISSING,
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
    policy_hash: Annotated[Words, Field(alias="policy")] = None
    expert_version: Annotated[Words, Field(alias="version")] = None
    shift: Annotated[Words, Field(description="A shift of the plant.")] = None
    since: Moment = None
    until: Moment = None
    passed: bool | None = None
    reviewed: bool | None = None


def _wanted(request: Request, asked: Annotated[FrameQuery, Query()]) -> FrameFilter:
    read = {
        "since": _moment(asked.since),
        "until": _moment(asked.until),
        "shift": shift_in(request.app.state.plant, asked.shift),
    }
    return FrameFilter(**asked.model_dump(mode="json") | read)


def _moment(words: str | None) -> datetime | None:
    return parse_moment(words) if words else None


Wanted = Annotated[FrameFilter, Depends(_wanted)]


def add_api(app: FastAPI, history: History, store: ImageStore, plant: PlantTimes) -> None:
    """The routes of the API.

    Args:
        app: gets them.
        history: asked by the routes.
        store: holds the pictures.
        plant: whose shifts may be asked for.
    """
    app.state.plant = plant
    router = APIRouter(dependencies=[Depends(only_what_is_known)], responses=REFUSALS)
    _add_questions(router, history)
    _add_pictures(router, history, store)
    app.include_router(router)

    @app.get("/api/openapi.json", include_in_schema=False)
    def openapi() -> JSONResponse:
        """The API's own description."""
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """What can be asked."""
        return HTMLResponse(page(app))


async def only_what_is_known(request: Request) -> None:
    """Refuse a parameter that the route does not have, or has once: both would be passed over."""
    app: FastAPI = request.app
    route = app.openapi()["paths"].get(request.scope["route"].path, {})
    described = route.get(request.method.lower(), {}).get("parameters", ())
    known = [one["name"] for one in described if one["in"] == "query"]
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
            )
            raise BadQueryError(f"no parameter is called {name!r}; {hint}")
        if times > 1:
            raise BadQueryError(f"{name!r} is given {times} times; give it once")


def _add_questions(app: APIRouter, history: History) -> None:
    @app.get("/api/health")
    async def health() -> dict[str, str]:
        """Answers 200 when the database answers, 503 when it does not."""
        await history.list_frames(limit=1)
        return {"status": "ok"}

    @app.get("/api/frames")
    async def frames(
        wanted: Wanted,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: Annotated[
            str | None, Query(max_length=256, description="`next_cursor` of the page before.")
        ] = None,
    ) -> Page:
        """Frames with their effective decision, newest first."""
        return await history.list_frames(wanted, limit, cursor)

    @app.get("/api/frames/{frame_id}", responses=_MISSING)
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
    async def gaps(line: Words = None, since: Moment = None) -> Gaps:
        """What is missing from a complete history."""
        return await history.gaps(line, _moment(since))


def _add_pictures(app: APIRouter, history: History, store: ImageStore) -> None:
    async def kept(key: str | None) -> bytes:
        """The object under the key; of most parts that passed none is kept, so there is no key."""
        try:
            if key:
                return await store.get(key)
        except KeyError:
            pass  # it was kept, and its time is over
        raise HTTPException(404, "no picture of this frame is kept")

    anything = _pictures(*dict.fromkeys(_PICTURES.values()), _OTHER)

    @app.get("/api/frames/{frame_id}/image", response_class=Response, responses=anything)
    async def image(frame_id: UUID) -> Response:
        """The picture as captured."""
        return picture_answer(await kept((await history.show(frame_id)).image_key))

    @app.get("/api/frames/{frame_id}/mask", response_class=Response, responses=anything)
    async def mask(frame_id: UUID) -> Response:
        """The odd region, 255 inside."""
        return picture_answer(await kept((await history.show(frame_id)).mask_key))

    @app.get(
        "/api/frames/{frame_id}/region",
        response_class=Response,
        responses={
            **_pictures("image/png"),
            415: {"model": NoAnswer, "description": "What is kept is no picture to draw on."},
        },
    )
    async def region(frame_id: UUID) -> Response:
        """The picture with the region's outline in red."""
        from fastapi.concurrency import run_in_threadpool

        story = await history.show(frame_id)
        odd, body = region_of(story), await kept(story.image_key)
        if odd is None:
            raise HTTPException(404, "this frame has no region")
        try:
            return picture_answer(await run_in_threadpool(outlined, body, odd))
        except UndecodableImageError as error:
            raise HTTPException(415, str(error)) from None


def picture_answer(body: bytes) -> Response:
    """A picture under the type that its bytes show: a browser must not run a part's picture."""
    kinds = (kind for magic, kind in _PICTURES.items() if body.startswith(magic))
    return Response(body, media_type=next(kinds, _OTHER), headers=PICTURE_HEADERS)
