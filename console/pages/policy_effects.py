"""What an edit of a policy would do, as pieces of its page: in words, on real parts, on a month."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from console.forms import BadFormError, form_of
from console.identity import who_of
from console.parts import ConsoleParts
from console.policies.answers import BacktestStatus
from console.policies.backtests import TooManyBacktestsError
from console.policies.judged import judged_parts
from console.policies.reading import NamedProduct, policy_of
from console.policies.recent import RecentParts
from console.rendering import Renderer, asked_language
from policies.errors import InvalidPolicyError

_LONGEST_DAYS: Final = 3650


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of the pieces."""
    desk, recent = parts.policies, RecentParts(parts.history)

    def piece(request: Request, template: str, **values: object) -> Response:
        return HTMLResponse(renderer.fragment(template, asked_language(request), values))

    def of_backtest(request: Request, status: BacktestStatus) -> Response:
        return piece(request, "policy_backtest.html", test=status)

    @app.post("/policies/{product}/difference", include_in_schema=False)
    async def difference(request: Request, product: NamedProduct) -> Response:
        """The difference in words; softenings by name."""
        text = (await form_of(request)).get("text", "")
        try:
            wanted = await policy_of(text, product)
        except InvalidPolicyError:
            return piece(request, "policy_difference.html", found=None)
        found = await desk.differences.between(await desk.last(product), wanted)
        return piece(request, "policy_difference.html", found=found)

    @app.post("/policies/{product}/parts", include_in_schema=False)
    async def last_parts(request: Request, product: NamedProduct) -> Response:
        """The last parts, with the rule that decides each, before and after."""
        text = (await form_of(request)).get("text", "")
        try:
            wanted = await policy_of(text, product)
        except InvalidPolicyError:
            return Response(status_code=204)
        before, last = await desk.in_force(product), await recent.of(product)
        found = await run_in_threadpool(judged_parts, before, wanted, last)
        return piece(request, "policy_parts.html", found=found)

    @app.post("/policies/{product}/backtests", include_in_schema=False)
    async def start(request: Request, product: NamedProduct) -> Response:
        """Begin to run the text over what was recorded."""
        form = await form_of(request)
        try:
            wanted = await policy_of(form.get("text", ""), product)
            since = datetime.now(UTC) - timedelta(days=_days(form.get("days", "")))
            status = desk.backtests.start(wanted, since, who_of(request).name)
        except (InvalidPolicyError, TooManyBacktestsError) as error:
            return piece(request, "policy_backtest.html", test=None, problem=str(error))
        return of_backtest(request, status)

    @app.get("/policies/{product}/backtests/{test_id}", include_in_schema=False)
    async def status(request: Request, product: NamedProduct, test_id: str) -> Response:
        """How far it is, and what it found."""
        return of_backtest(request, desk.backtests.status(product, test_id))

    @app.post("/policies/{product}/backtests/{test_id}", include_in_schema=False)
    async def cancel(request: Request, product: NamedProduct, test_id: str) -> Response:
        """End it."""
        return of_backtest(request, desk.backtests.cancel(product, test_id))


def _days(words: str) -> float:
    try:
        days = float(words)
    except ValueError:
        raise BadFormError(f"{words!r} is no number of days") from None
    if not 0 < days <= _LONGEST_DAYS:
        raise BadFormError(f"days are over 0 and at most {_LONGEST_DAYS}")
    return days
