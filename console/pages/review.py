"""Reviewing by people: a deck of parts that wait, one key for a verdict, the next picture loaded.

The page asks for pieces: cards, the row of a verdict, the figures. What it may and may not show is
the desk's matter (``console.review``).
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from console.access import JUDGES
from console.frame_query import moment_in
from console.identity import who_of
from console.pages.review_api import add_review_api
from console.parts import ConsoleParts
from console.rendering import Renderer, asked_language
from console.review.cards import GivenCard
from console.review.desk import IN_TURN, ReviewDesk
from console.review.rates import read_rates
from console.review.verdict import AskedBody, ReviewVerdict
from history.errors import BadQueryError
from history.filters import FrameFilter
from history.review_queue import MOST_COUNTED, ReviewQueue, WaitingFor

DECK: Final = 12
"""Parts that a browser has at once: the one on the screen and those whose pictures are loaded."""
SPAN: Final = "30d"
_LONGEST: Final = 512


class AskedDeck(AskedBody):
    """What the browser asks for: the page's own filter, and how many parts."""

    kind: str = ""
    product: str = ""
    line: str = ""
    since: str = ""
    count: int = 1
    fresh: bool = False


class AskedUndo(AskedBody):
    """The verdict that is to be taken back; the latest without."""

    review_id: UUID | None = None


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page, and those for programs."""
    queue = ReviewQueue(parts.history, parts.second_review, JUDGES)
    desk = ReviewDesk(
        parts.history, queue, parts.publisher, parts.audit, parts.lessons, parts.leases
    )
    add_review_api(app, desk, parts.history, queue, parts.lessons)
    zone = parts.plant.time_zone

    @app.get("/review", include_in_schema=False)
    async def review(request: Request, part: UUID | None = None) -> Response:
        """The queue with its first parts; a part that is named comes first."""
        given = given_filter(request.query_params)
        reasons, wanted = reasons_of(given), filter_of(given, zone)
        who = who_of(request).name
        cards: list[GivenCard] = []
        if part is None:
            cards = await desk.next_parts(who, wanted, reasons, DECK, fresh=True)
        else:
            await desk.release(who)
            cards = [await desk.chosen(who, part)]
        return renderer.page(
            request,
            "review.html",
            given=given,
            cards=cards,
            chosen=part,
            deck=DECK,
            kinds=list(WaitingFor),
            undoable=desk.undoable(who)[:8],
            status=200,
            **await _figures(wanted, who),
        )

    async def _figures(wanted: FrameFilter, who: str) -> dict[str, object]:
        counts = await queue.counts(wanted, who, list(WaitingFor))
        rates = await read_rates(parts.history, queue, wanted)
        return {"counts": counts, "rates": rates, "most_counted": MOST_COUNTED}

    @app.post("/review/next", include_in_schema=False)
    async def next_parts(request: Request, asked: AskedDeck) -> Response:
        """More cards."""
        given = given_filter(asked.model_dump(include={"kind", "product", "line", "since"}))
        count = min(max(asked.count, 1), DECK)
        found = await desk.next_parts(
            who_of(request).name, filter_of(given, zone), reasons_of(given), count
        )
        return _piece(request, "review_cards.html", cards=found)

    @app.post("/review/verdict", include_in_schema=False)
    async def judge(request: Request, verdict: ReviewVerdict) -> Response:
        """Take a verdict; the row that says what will come of it."""
        taken = await desk.judge(verdict, who_of(request).deed(request, ""))
        lesson = taken.lesson
        return _piece(request, "review_verdict.html", one=taken, lesson=lesson)

    @app.post("/review/undo", include_in_schema=False)
    async def undo(request: Request, asked: AskedUndo) -> Response:
        """Take a verdict back; the card of its part."""
        card = await desk.undo(who_of(request).deed(request, ""), asked.review_id)
        return _piece(request, "review_cards.html", cards=[card])

    @app.get("/review/figures", include_in_schema=False)
    async def figures(request: Request) -> Response:
        """How many wait, and the rates."""
        given = given_filter(request.query_params)
        found = await _figures(filter_of(given, zone), who_of(request).name)
        return _piece(request, "review_figures.html", given=given, kinds=list(WaitingFor), **found)

    def _piece(request: Request, template: str, **values: object) -> Response:
        return HTMLResponse(renderer.fragment(template, asked_language(request), values))


def given_filter(given: Mapping[str, str]) -> dict[str, str]:
    """The filter as it stands in the address, without what is empty."""
    names = ("kind", "product", "line", "since")
    found = {name: str(given.get(name, "")).strip()[:_LONGEST] for name in names}
    return {name: value for name, value in found.items() if value}


def reasons_of(given: Mapping[str, str]) -> Sequence[WaitingFor]:
    """Why the wanted parts wait. Raises ``BadQueryError`` for a word that is no reason."""
    word = given.get("kind")
    if not word:
        return IN_TURN
    if word not in [reason.value for reason in WaitingFor]:
        known = ", ".join(reason.value for reason in WaitingFor)
        raise BadQueryError(f"kind {word!r} is not among {known}")
    return (WaitingFor(word),)


def filter_of(given: Mapping[str, str], zone: str) -> FrameFilter:
    """The filter as the history reads it; a time without a zone is the plant's."""
    return FrameFilter(
        product=given.get("product"),
        line=given.get("line"),
        since=moment_in(zone, given.get("since") or SPAN),
    )
