"""First-pass yield, false alarms and escapes with intervals: by name, over time, as CSV."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from console.api import REFUSALS, Wanted, only_what_is_known
from console.charts import Estimate, ShareAxis, Trend
from console.frame_query import AskedFrames, read_asked
from console.parts import ConsoleParts
from console.quality_rates import (
    MOST,
    NAMES,
    QualityRates,
    ShownShare,
    SpanRates,
    places_of,
    quality_rates,
    rates_csv,
)
from console.rendering import Renderer
from history.errors import BadQueryError
from history.filters import FrameFilter
from history.rates import RatesBy, RatesEvery, RatesQuestion, read_rate_counts
from streams.codes import Action, DecisionSource, Severity

SPAN: Final = "30d"
"""What is counted where nobody says since when."""
SPANS: Final = 400
"""Days, shifts or weeks that the page shows; the latest."""
KINDS: Final = ("first_pass", "false_alarms", "escapes")


class RatesTable(StrEnum):
    """What of the rates is asked for as CSV."""

    NAMES = "names"
    SPANS = "spans"


async def read_quality_rates(
    parts: ConsoleParts, wanted: FrameFilter, by: RatesBy, every: RatesEvery, top: int
) -> QualityRates:
    """The rates of a filter; the intervals are reckoned in a thread."""
    asked = RatesQuestion(wanted, by, every, parts.plant)
    counts = await read_rate_counts(parts.history, asked)
    return await run_in_threadpool(quality_rates, asked, counts, top)


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    _add_api(app, parts)

    @app.get("/rates", include_in_schema=False)
    async def rates(request: Request) -> Response:
        """A table by one of several names, and a trend of each rate."""
        given = {"since": SPAN, **dict(request.query_params), "passed": "any"}
        by = _word(RatesBy, "by", given.get("by") or RatesBy.LINE)
        every = _word(RatesEvery, "every", given.get("every") or RatesEvery.DAY)
        asked = read_asked(given, parts.plant)
        found = await read_quality_rates(parts, asked.wanted, by, every, NAMES)
        spans = found.spans[-SPANS:]
        places = places_of(spans, every, parts.plant)
        shares = {kind: [_estimate(getattr(one.rates, kind)) for one in spans] for kind in KINDS}
        by_name = {
            kind: ShareAxis.over(_estimate(getattr(one.rates, kind)) for one in found.rows)
            for kind in KINDS
        }
        return renderer.page(
            request,
            "rates.html",
            asked=asked,
            given=asked.given,
            by=by.value,
            every=every.value,
            kinds=[kind.value for kind in RatesBy if kind is not RatesBy.SHIFT or asked.shifts],
            lengths=[
                one.value for one in RatesEvery if one is not RatesEvery.SHIFT or asked.shifts
            ],
            found=found,
            spans=spans,
            trends={kind: Trend.of(shares[kind], places) for kind in KINDS},
            axes=by_name,
            times=[_times(asked, one) for one in spans],
            table=_table_link(asked),
            codes={"action": Action, "severity": Severity, "source": DecisionSource},
        )


def _add_api(app: FastAPI, parts: ConsoleParts) -> None:
    api = APIRouter(dependencies=[Depends(only_what_is_known)], responses=REFUSALS)

    @api.get("/api/rates")
    async def rates(
        wanted: Wanted,
        by: RatesBy = RatesBy.LINE,
        every: RatesEvery = RatesEvery.DAY,
        top: Annotated[int, Query(ge=1, le=MOST)] = NAMES,
    ) -> QualityRates:
        """First-pass yield, false alarms and escapes with 95 % intervals, by name and over time."""
        return await read_quality_rates(parts, _of_all(wanted), by, every, top)

    @api.get(
        "/api/rates.csv",
        response_class=Response,
        responses={200: {"description": "A table.", "content": {"text/csv": {}}}},
    )
    async def table(
        wanted: Wanted,
        of: RatesTable = RatesTable.NAMES,
        by: RatesBy = RatesBy.LINE,
        every: RatesEvery = RatesEvery.DAY,
    ) -> Response:
        """The same as a table by name, or over time."""
        found = await read_quality_rates(parts, _of_all(wanted), by, every, MOST)
        body = "".join(rates_csv(found, of is RatesTable.SPANS))
        named = {"Content-Disposition": f'attachment; filename="andon-rates-{of.value}.csv"'}
        return Response(body, media_type="text/csv; charset=utf-8", headers=named)

    app.include_router(api)


def _of_all(wanted: FrameFilter) -> FrameFilter:
    if wanted.passed is not None:
        raise BadQueryError("rates are of what passed and of what was stopped: leave 'passed' out")
    return wanted


W = TypeVar("W", bound=StrEnum)


def _word(kinds: type[W], name: str, word: str) -> W:
    try:
        return kinds(word)
    except ValueError:
        raise BadQueryError(f"{name} {word!r} is not among {', '.join(kinds)}") from None


def _estimate(share: ShownShare) -> Estimate | None:
    return None if share.rate is None else (share.rate, share.low, share.high)


def _times(asked: AskedFrames, span: SpanRates) -> dict[str, str] | None:
    """The filter's fields for a span alone, within its own time; None outside of shifts."""
    if span.since is None or span.until is None:
        return None
    own = asked.wanted
    fields = {}
    if own.since is None or span.since > own.since:
        fields["since"] = _minute(span.since)
    if own.until is None or span.until < own.until:
        fields["until"] = _minute(span.until)
    return fields


def _minute(at: datetime) -> str:
    return at.isoformat(timespec="minutes").replace("+00:00", "Z")


def _table_link(asked: AskedFrames) -> AskedFrames:
    """The filter as programs write it: whole times, and only what is chosen."""
    own = asked.wanted
    given = {name: word for name, word in asked.given.items() if word != "any"}
    times = {"since": own.since, "until": own.until}
    given |= {name: at.isoformat() for name, at in times.items() if at is not None}
    return AskedFrames(given, own)
