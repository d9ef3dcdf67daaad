"""First-pass yield, escapes and false alarms of a filter and of each name in it, with intervals."""

from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from console.frame_query import read_asked
from console.parts import ConsoleParts
from console.rendering import Renderer, asked_language
from console.review.rates import ReviewRates, read_rates
from history.errors import BadQueryError
from history.filters import FrameFilter
from history.review_queue import ReviewQueue
from history.statistics import ParetoBy
from policies.review.escapes import share_interval

MOST: Final = 8
"""Names that are shown; each is asked for by itself."""
BY: Final = {
    ParetoBy.LINE.value: "line",
    ParetoBy.PRODUCT.value: "product",
    ParetoBy.STATION.value: "station",
    ParetoBy.CLASS.value: "class",
}
"""By what the history can be asked, and the filter's field."""


@dataclass(frozen=True)
class RatesRow:
    """The rates of one name; the first row is of all."""

    name: str
    parts: int
    first_pass: float | None
    low: float
    high: float
    reviews: ReviewRates


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route: a piece of the page Pareto, which is shown before it is reckoned."""
    queue = ReviewQueue(parts.history, parts.second_review)

    async def row(name: str, wanted: FrameFilter) -> RatesRow:
        stats = await parts.history.stats(wanted, 1)
        share, count = stats.first_pass_yield, stats.parts
        low, high = share_interval(round((share or 0) * count), count)
        reviews = await read_rates(parts.history, queue, wanted)
        return RatesRow(name, count, share, low, high, reviews)

    @app.get("/pareto/rates", include_in_schema=False)
    async def rates(request: Request) -> Response:
        """A table as HTML."""
        given = {"since": "7d", **dict(request.query_params), "passed": "any"}
        by = given.get("by") or "line"
        if by not in BY:
            raise BadQueryError(f"by {by!r} is not among {', '.join(BY)}")
        zone = parts.plant.time_zone
        wanted = read_asked(given, zone).wanted
        found = await parts.history.pareto(wanted, ParetoBy(by), MOST)
        rows = [await row("", wanted)]
        for one in found.rows:
            if one.name:
                rows.append(
                    await row(one.name, read_asked({**given, BY[by]: one.name}, zone).wanted)
                )
        links = {kind: read_asked(given, zone).link("/pareto/rates", by=kind) for kind in BY}
        values = {"rows": rows, "by": by, "links": links}
        return HTMLResponse(renderer.fragment("rates.html", asked_language(request), values))
