"""Reviewing for programs: the same desk as the page's, as JSON."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import Field

from console.api import Answers, Mistakes, NoAnswer, only_what_is_known
from console.identity import who_of
from console.review.cards import GivenCard, ReviewCard
from console.review.desk import IN_TURN, MOST_CARDS, ReviewDesk, TakenVerdict
from console.review.lessons import LessonsAhead, ProductLessons
from console.review.rates import ReviewRates, read_rates
from console.review.verdict import AskedBody, ReviewVerdict
from history.filters import FrameFilter, parse_moment
from history.queries import History
from history.records import Record
from history.review_queue import ReviewQueue, WaitingFor
from streams.codes import Severity

REFUSALS: Answers = {
    400: {"model": NoAnswer, "description": "The body is no JSON text."},
    403: {"model": NoAnswer, "description": "Not with the role of this token."},
    404: {"model": NoAnswer, "description": "There is no such part, or nothing is decided of it."},
    409: {"model": NoAnswer, "description": "The part is somebody else's."},
    422: {"model": Mistakes, "description": "The request cannot be understood."},
    503: {"model": NoAnswer, "description": "The database or the broker does not answer."},
}
Words = Annotated[str | None, Field(max_length=512)]


class ReviewFilter(AskedBody):
    """Of which parts, and why they wait."""

    kind: WaitingFor | None = None
    """All but ``reject`` without, in the order of the page."""
    product: Words = None
    line: Words = None
    since: Annotated[str, Field(max_length=64)] = "30d"
    """``30d`` or ``2h`` ago, ``2026-11-23``, or an ISO time; UTC unless it names a zone."""

    def frames(self) -> FrameFilter:
        """The filter of the history."""
        since = parse_moment(self.since) if self.since else None
        return FrameFilter(product=self.product, line=self.line, since=since)

    def reasons(self) -> tuple[WaitingFor, ...]:
        """Why the parts wait, in the order in which they are given."""
        return IN_TURN if self.kind is None else (self.kind,)


class AskedParts(ReviewFilter):
    """How many parts are asked for."""

    count: Annotated[int, Field(ge=1, le=MOST_CARDS)] = 1


class ApiClass(Record):
    """A class that the verdict on a part may name."""

    name: str
    title: str
    severity: Severity


class ApiCard(ReviewCard):
    """A part to be reviewed."""

    classes: tuple[ApiClass, ...] = ()


class Waiting(Record):
    """How many parts wait for each reason; 1000 stands for more, too."""

    waiting: dict[WaitingFor, int]


class GivenParts(Record):
    """Parts that are nobody else's for five minutes."""

    parts: tuple[ApiCard, ...]


Chosen = Annotated[ReviewFilter, Query()]


def api_card(given: GivenCard) -> ApiCard:
    """The card as the API gives it."""
    classes = tuple(
        ApiClass(name=one.name, title=one.title, severity=one.severity) for one in given.classes
    )
    return ApiCard(**given.card.model_dump(), classes=classes)


def add_review_api(
    app: FastAPI, desk: ReviewDesk, history: History, queue: ReviewQueue, lessons: LessonsAhead
) -> None:
    """The routes for programs."""
    api = APIRouter(dependencies=[Depends(only_what_is_known)], responses=REFUSALS)

    @api.get("/api/review/waiting")
    async def waiting(request: Request, asked: Chosen) -> Waiting:
        """How many parts wait for a review, by reason."""
        reasons = [*WaitingFor] if asked.kind is None else [asked.kind]
        name = who_of(request).name
        return Waiting(waiting=await queue.counts(asked.frames(), name, reasons))

    @api.post("/api/review/next")
    async def next_parts(request: Request, asked: AskedParts) -> GivenParts:
        """The next parts to review; they are nobody else's for five minutes."""
        found = await desk.next_parts(
            who_of(request).name, asked.frames(), asked.reasons(), asked.count
        )
        return GivenParts(parts=tuple(api_card(given) for given in found))

    @api.post("/api/review/parts/{frame_id}")
    async def chosen(request: Request, frame_id: UUID) -> ApiCard:
        """A part to review that is asked for by itself."""
        return api_card(await desk.chosen(who_of(request).name, frame_id))

    @api.post("/api/reviews", status_code=201)
    async def judge(request: Request, verdict: ReviewVerdict) -> TakenVerdict:
        """Say what a part is that was given to you."""
        return await desk.judge(verdict, who_of(request).deed(request, ""))

    @api.delete("/api/reviews/{review_id}")
    async def undo(request: Request, review_id: UUID) -> ApiCard:
        """Take a verdict of yours back; its part is yours to review again."""
        return api_card(await desk.undo(who_of(request).deed(request, ""), review_id))

    @api.get("/api/review/rates")
    async def rates(asked: Chosen) -> ReviewRates:
        """Escapes among what passed and false alarms among what was stopped, with intervals."""
        return await read_rates(history, queue, asked.frames())

    @api.get("/api/review/lessons")
    async def taught(
        product: Annotated[str, Query(min_length=1, max_length=512)],
    ) -> ProductLessons:
        """What the reviews of a product would teach if its expert learned now."""
        return await lessons.of_product(product)

    app.include_router(api)
