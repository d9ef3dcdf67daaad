"""The versions of the experts: what each was trained and taught on, and what it is worth."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from console.access import may_call
from console.api import REFUSALS, Answers, NoAnswer, picture_answer
from console.charts import Histogram, rate_lines
from console.forms import BadFormError, form_of
from console.identity import who_of
from console.model_desk import ModelDesk
from console.model_requests import ModelRequest
from console.model_versions import ExemplarsKept, ModelError, VersionChange, VersionDetail
from console.parts import ConsoleParts
from console.policies.answers import AnsweredRequest
from console.policies.reading import answer_of
from console.rendering import Renderer, asked_language
from serving.expert_versions import Version

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
_CONFLICT: Answers = {409: {"model": NoAnswer, "description": "Not there, or not as things stand."}}


class VersionWish(BaseModel):
    """Which version shall be in force, and why."""

    version: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
    """Its digest; empty: the one before."""
    exemplars: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Digest of other exemplars than those that belong to it."""
    reason: Annotated[str, Field(min_length=1, max_length=500)]


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page, and of its API."""
    desk = ModelDesk(parts)
    _add_reading(app, parts, desk, renderer)
    _add_changing(app, desk, renderer)
    _add_api(app, desk)


def _add_reading(app: FastAPI, parts: ConsoleParts, desk: ModelDesk, renderer: Renderer) -> None:
    @app.get("/models", include_in_schema=False)
    async def models(request: Request) -> Response:
        """Every product's versions."""
        return await _list(request, desk, renderer)

    @app.get("/models/{key}/change", include_in_schema=False)
    async def change(request: Request, key: str) -> Response:
        """How far a change is; the page is loaded anew when it is over."""
        now = desk.models.change(await desk.product(key))
        if now is None or not now.running:
            return HTMLResponse("", headers={"HX-Refresh": "true"})
        values = {"change": now, "key": key}
        return HTMLResponse(renderer.fragment("model_change.html", asked_language(request), values))

    @app.get("/models/{key}/{version}", include_in_schema=False)
    async def model(request: Request, key: str, version: Digest) -> Response:
        """All that is recorded of one version."""
        return await _detail(request, parts, desk, renderer, key, version)

    @app.get("/models/{key}/{version}/normals/{row}", include_in_schema=False)
    async def odd(key: str, version: Digest, row: Annotated[int, Path(ge=0)]) -> Response:
        """One of its oddest normals, as the artifact keeps it."""
        product = await desk.product(key)
        return picture_answer(await desk.models.odd_picture(product, version, row))


def _add_changing(app: FastAPI, desk: ModelDesk, renderer: Renderer) -> None:
    @app.post("/models/{key}", include_in_schema=False)
    async def do(request: Request, key: str) -> Response:
        """Put a version in force or in the shadow, or go back to the one before."""
        form = await form_of(request)
        try:
            await _do(request, desk, key, form)
        except ModelError as error:
            return await _list(request, desk, renderer, 422, str(error))
        return RedirectResponse(f"/models#{key}", 303)

    @app.post("/models/{key}/requests/{number}", include_in_schema=False)
    async def answer(
        request: Request, key: str, number: Annotated[int, Path(ge=1, lt=1 << 62)]
    ) -> Response:
        """Approve, refuse or withdraw what somebody asked for."""
        meant, words = await answer_of(request)
        try:
            await desk.answer(request, key, number, meant, words)
        except ModelError as error:
            return await _list(request, desk, renderer, 422, str(error))
        return RedirectResponse(f"/models#{key}", 303)


async def _do(request: Request, desk: ModelDesk, key: str, form: Mapping[str, str]) -> None:
    version, reason = form.get("version", ""), form.get("reason", "")
    exemplars, seen = form.get("exemplars") or None, form.get("seen")
    match form.get("do"):
        case "use" if version:
            await desk.use(request, key, version, reason, exemplars, seen)
        case "rollback":
            await desk.use(request, key, "", reason, None, seen)
        case "shadow" if version:
            await desk.shadow(request, key, version)
        case "no-shadow":
            await desk.shadow(request, key, "")
        case _:
            raise BadFormError("nothing is asked for")


def _add_api(app: FastAPI, desk: ModelDesk) -> None:
    responses: Answers = {**REFUSALS, **_CONFLICT}

    @app.get("/api/models", responses=responses)
    async def models() -> list[Version]:
        """Every version of every product, newest first by product."""
        found, _ = await desk.models.versions(None)
        return list(found)

    @app.get("/api/models/{key}/change", responses=responses)
    async def change(key: str) -> VersionChange | None:
        """The change of what is in force that is under way, or was the last."""
        return desk.models.change(await desk.product(key))

    @app.get("/api/models/{key}/request", responses=responses)
    async def waiting(key: str) -> ModelRequest | None:
        """The version that waits for a second person, if one does."""
        return await desk.request_of(key)

    @app.get("/api/models/{key}/exemplars", responses=responses)
    async def exemplars(key: str) -> list[ExemplarsKept]:
        """The product's bundles of exemplars, newest first."""
        return list(await desk.models.exemplars(await desk.product(key)))

    @app.get("/api/models/{key}/{version}", responses=responses)
    async def model(key: str, version: Digest) -> VersionDetail:
        """All that is recorded of one version."""
        return await desk.models.detail(await desk.product(key), version)

    @app.post("/api/models/{key}", status_code=202, responses=responses)
    async def use(request: Request, key: str, asked: VersionWish) -> VersionChange:
        """Begin to put a version in force on every replica; ``change`` says how far it is. Where
        a second person must approve it, ``request`` says what waits, and nothing changes."""
        return await desk.use(request, key, asked.version, asked.reason, asked.exemplars)

    @app.post("/api/models/{key}/requests/{number}", status_code=202, responses=responses)
    async def answer(
        request: Request,
        key: str,
        number: Annotated[int, Path(ge=1, lt=1 << 62)],
        given: AnsweredRequest,
    ) -> VersionChange:
        """Approve or refuse what somebody else asked for, or withdraw one's own."""
        return await desk.answer(request, key, number, given.answer, given.reason)


async def _list(
    request: Request, desk: ModelDesk, renderer: Renderer, status: int = 200, problem: str = ""
) -> Response:
    found, unknown = await desk.all()
    own = {one.product for one in found if one.request and desk.is_own(request, one.request)}
    return renderer.page(
        request,
        "models.html",
        status,
        found=found,
        unknown=unknown,
        problem=problem,
        own=own,
        is_second_asked=desk.is_second_asked,
        may_answer=may_call(who_of(request).role, "POST", "/models/{key}/requests/{number}"),
    )


async def _detail(
    request: Request,
    parts: ConsoleParts,
    desk: ModelDesk,
    renderer: Renderer,
    key: str,
    version: str,
) -> Response:
    product = await desk.product(key)
    detail = await desk.models.detail(product, version)
    drifts = [
        alert
        for alert in parts.feed.state.alerts.values()
        if alert.kind == "drift" and alert.product_id == product
    ]
    histogram = detail.histogram
    return renderer.page(
        request,
        "model.html",
        key=key,
        detail=detail,
        version=detail.version,
        drifts=sorted(drifts, key=lambda alert: alert.raised_at, reverse=True),
        bars=Histogram.of(histogram, detail.threshold) if histogram else None,
        lines=rate_lines(detail.at_rates),
    )
