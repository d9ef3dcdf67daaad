"""What most parts fall under, and the figures of a filter."""

from typing import Final

from fastapi import FastAPI, Request, Response

from console.frame_query import read_asked
from console.parts import ConsoleParts
from console.rendering import Renderer
from history.errors import BadQueryError
from history.statistics import ParetoBy
from streams.codes import Action, DecisionSource, Severity

TOP: Final = 20
SPAN: Final = "7d"
"""What is counted where nobody says since when."""
_LINKED: Final = {
    ParetoBy.CLASS: "class",
    ParetoBy.SOURCE: "source",
    ParetoBy.STATION: "station",
    ParetoBy.LINE: "line",
    ParetoBy.PRODUCT: "product",
    ParetoBy.EXPERT: "version",
    ParetoBy.POLICY: "policy",
}
"""By what the history can be searched too."""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The route of this page."""

    @app.get("/pareto", include_in_schema=False)
    async def pareto(request: Request) -> Response:
        """Figures, a Pareto by one of several names, and days."""
        given = {"since": SPAN, "passed": "false", **dict(request.query_params)}
        by = _by(given.get("by", ""))
        asked = read_asked(given, parts.plant)
        everything = read_asked({**given, "passed": "any"}, parts.plant)
        found = await parts.history.pareto(asked.wanted, by, TOP)
        stats = await parts.history.stats(everything.wanted, TOP, parts.plant.time_zone)
        most = max((row.parts for row in found.rows), default=0)
        return renderer.page(
            request,
            "pareto.html",
            asked=asked,
            given=asked.given,
            by=by.value,
            kinds=[kind.value for kind in ParetoBy],
            linked=_LINKED.get(by),
            found=found,
            most=most,
            stats=stats,
            days=stats.by_day[-31:],
            time_zone=parts.plant.time_zone,
            busiest=max((day.frames for day in stats.by_day[-31:]), default=0),
            actions=[action.value for action in Action],
            codes={"action": Action, "severity": Severity, "source": DecisionSource},
        )


def _by(word: str) -> ParetoBy:
    if not word:
        return ParetoBy.CLASS
    try:
        return ParetoBy(word)
    except ValueError:
        known = ", ".join(kind.value for kind in ParetoBy)
        raise BadQueryError(f"by {word!r} is not among {known}") from None
