"""What is answered when a question cannot be: JSON to programs, a page to people."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from console.access import ACCESS
from console.forms import BadFormError, written_in
from console.guard import HEADERS
from console.identity import ForbiddenError, LoginNeededError, PasswordExpiredError
from console.model_versions import ModelError
from console.policies.backtests import TooManyBacktestsError
from console.product_drafts import DraftError
from console.rendering import Renderer, asked_language
from console.review.desk import NotYoursError
from history.errors import BadQueryError, ChangingNowError, NotInHistoryError
from policies.errors import InvalidPolicyError, PolicyError, SecondPersonError
from streams.errors import UnavailableError
from streams.masking import masked

_STATUS: Final = {
    BadFormError: 400,
    ChangingNowError: 409,
    PolicyError: 409,
    SecondPersonError: 403,
    TooManyBacktestsError: 409,
    ForbiddenError: 403,
    NotInHistoryError: 404,
    DraftError: 409,
    NotYoursError: 409,
    ModelError: 409,
    UnavailableError: 503,
}


def add_refusals(app: FastAPI, renderer: Renderer) -> None:
    """The handlers of every expected error."""
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, partial(_refused, renderer, status))
    for mistake in (BadQueryError, InvalidPolicyError, RequestValidationError):
        app.add_exception_handler(mistake, partial(_mistaken, renderer))
    app.add_exception_handler(HTTPException, partial(_http, renderer))
    app.add_exception_handler(LoginNeededError, partial(_elsewhere, renderer, "/login", 401))
    app.add_exception_handler(PasswordExpiredError, partial(_elsewhere, renderer, "/password", 403))
    app.add_exception_handler(Exception, partial(_broken, renderer))


def wants_page(request: Request) -> bool:
    """Whether a person reads the answer: a browser that goes to a page, or swaps a piece of one."""
    is_read = "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers
    return is_read and not request.url.path.startswith("/api/")


def _said(
    renderer: Renderer,
    request: Request,
    status: int,
    words: str,
    written: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """Why there is no answer; what was ``written`` can be sent again from the page."""
    if wants_page(request):
        values = {"code": status, "words": words, "written": written}
        return renderer.page(request, "refused.html", status, **values)
    return JSONResponse({"detail": words}, status)


async def _refused(renderer: Renderer, status: int, request: Request, error: Exception) -> Response:
    is_for_now = isinstance(error, UnavailableError | ChangingNowError)
    written = await written_in(request) if is_for_now and wants_page(request) else {}
    return _said(renderer, request, status, masked(str(error)), written)


async def _mistaken(renderer: Renderer, request: Request, error: Exception) -> Response:
    """What is wrong with a request, whoever found it, in one form."""
    if isinstance(error, RequestValidationError):
        found: list[dict[str, object]] = [
            {key: e[key] for key in ("loc", "msg", "type")} for e in error.errors()
        ]
    elif isinstance(error, InvalidPolicyError):
        found = [
            {"loc": ["body", "text", p.line, p.column], "msg": str(p), "type": p.code}
            for p in error.problems
        ]
    else:
        found = [{"loc": ["query"], "msg": str(error), "type": "bad_query"}]
    if wants_page(request):
        words = "; ".join(str(one["msg"]) for one in found)
        return _said(renderer, request, 422, words)
    return JSONResponse({"detail": jsonable_encoder(found)}, 422)


def methods_of(path: str) -> list[str]:
    """What may be asked of a path: by the route that fits it with the fewest parameters.

    >>> methods_of("/people")
    ['GET', 'POST']
    """
    fitting = {route for _, route in ACCESS if compile_path(route)[0].match(path)}
    meant = min(fitting, key=lambda route: (route.count("{"), route), default="")
    return sorted(method for method, route in ACCESS if route == meant)


async def _http(renderer: Renderer, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _said(renderer, request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    if error.status_code == 405:  # the router names those of the first route that fits alone
        answer.headers["Allow"] = ", ".join(methods_of(request.url.path))
    return answer


async def _elsewhere(
    renderer: Renderer, path: str, status: int, request: Request, error: Exception
) -> Response:
    """To the page that mends it, and back to where they were going; who sent a form keeps what is
    in it."""
    if not wants_page(request):
        return JSONResponse({"detail": str(error)}, status)
    if "hx-request" in request.headers:
        if request.method == "GET":
            return HTMLResponse("", status, headers={"HX-Refresh": "true"})
        ended = renderer.fragment("session_ended.html", asked_language(request), {"path": path})
        return HTMLResponse(ended, status)
    if written := await written_in(request):
        return _said(renderer, request, status, "", written)
    query = f"?{request.url.query}" if request.url.query else ""
    there = quote(request.url.path + query) if request.method == "GET" else ""
    return RedirectResponse(f"{path}?next={there}" if there else path, 303)


async def _broken(renderer: Renderer, request: Request, error: Exception) -> Response:
    """A mistake of ours: its words stay in the log. It is answered outside of the guard."""
    answer = _said(renderer, request, 500, "an internal error")
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer
