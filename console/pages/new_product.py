"""A new product: pictures in, the oddest looked at, defects outlined and named, policy, live."""

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from console.api import picture_answer
from console.forms import BadFormError, form_of
from console.parts import ConsoleParts
from console.product_desk import ProductDesk
from console.product_drafts import (
    Corner,
    DraftClass,
    DraftError,
    DraftStep,
    DraftWork,
    PictureKind,
    next_step,
    pictures_of,
)
from console.rendering import Renderer, asked_language, new_nonce
from console.shrinking import shrunk
from streams.codes import Action, Severity
from streams.errors import UndecodableImageError

RATES: Final = (0.01, 0.02, 0.05)
ENOUGH: Final = 100
"""Pictures that the page asks for; fewer do, and training says what they are worth."""
FEWEST: Final = 12
SHOWN: Final = 60
"""Small pictures of good parts that are shown; all may be asked for."""
_NAME: Final = 200
_SMALL_PX: Final = 240
_LARGE_PX: Final = 1200
_STAGES: Final = {
    "read": "new.stage_read",
    "features": "new.stage_features",
    "exposures": "new.stage_exposures",
    "synthetic": "new.stage_synthetic",
    "hold out": "new.stage_held",
    "calibrate": "new.stage_calibrate",
    "fit": "new.stage_fit",
    "exemplars": "new.stage_exemplars",
}
_STEPS: Final = {
    DraftStep.TRAIN: "new.does_train",
    DraftStep.TEACH: "new.does_teach",
    DraftStep.BACKTEST: "new.does_backtest",
    DraftStep.LIVE: "new.does_live",
}


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of this page."""
    desk = ProductDesk(parts)

    @app.get("/products/new", include_in_schema=False)
    async def drafts(request: Request) -> Response:
        """What is being brought up, and a name to begin with."""
        return await _list(request, desk, renderer)

    @app.post("/products/new", include_in_schema=False)
    async def begin(request: Request) -> Response:
        """Begin, or go on."""
        form = await form_of(request)
        try:
            draft = await desk.begin(request, form.get("product", ""))
        except DraftError as error:
            return await _list(request, desk, renderer, 422, str(error))
        return RedirectResponse(f"/products/new/{draft.key}", 303)

    @app.get("/products/new/{key}", include_in_schema=False)
    async def page(
        request: Request, key: str, every: str = "", moved: str = "", before: str = ""
    ) -> Response:
        """All steps of one product."""
        was = (moved[:_NAME], before[:_NAME])
        return await _page(request, desk, renderer, key, every=bool(every), moved=was)

    @app.get("/products/new/{key}/work", include_in_schema=False)
    async def work(request: Request, key: str) -> Response:
        """How far the running step is; the page is loaded anew when it is over."""
        now = await desk.ask(desk.drafts.work, key)
        if now is None or not now.running:
            return HTMLResponse("", headers={"HX-Refresh": "true"})
        values = {"work": now, "key": key, **_told(now)}
        return HTMLResponse(renderer.fragment("product_work.html", asked_language(request), values))

    @app.post("/products/new/{key}", include_in_schema=False)
    async def do(request: Request, key: str) -> Response:
        """What one of the page's forms asks for."""
        form = await form_of(request)
        try:
            there = await _do(request, desk, key, form)
        except DraftError as error:
            return await _page(request, desk, renderer, key, 422, str(error))
        return RedirectResponse(there, 303)

    @app.get("/products/new/{key}/pictures/{kind}/{name}", include_in_schema=False)
    async def picture(key: str, kind: PictureKind, name: str, size: str = "small") -> Response:
        """A picture of the draft, as browsers show it."""
        body = await desk.ask(desk.drafts.picture, key, kind, name)
        most = _SMALL_PX if size == "small" else _LARGE_PX
        try:
            made = await run_in_threadpool(shrunk, body, most)
        except UndecodableImageError as error:
            raise HTTPException(415, str(error)) from None
        answer = picture_answer(made)
        if kind is PictureKind.ODD:
            answer.headers["Cache-Control"] = "no-store"  # drawn anew by every training
        return answer


async def _list(
    request: Request, desk: ProductDesk, renderer: Renderer, status: int = 200, problem: str = ""
) -> Response:
    found = await desk.ask(desk.drafts.list)
    rows = [(draft, next_step(draft)) for draft in found]
    return renderer.page(request, "products.html", status, rows=rows, problem=problem)


async def _page(
    request: Request,
    desk: ProductDesk,
    renderer: Renderer,
    key: str,
    status: int = 200,
    problem: str = "",
    every: bool = False,
    moved: tuple[str, str] = ("", ""),
) -> Response:
    draft = await desk.ask(desk.drafts.read, key)
    work = await desk.ask(desk.drafts.work, key)
    trained = draft.trained
    kept = {normal.name: normal.kept for normal in draft.normals}
    return renderer.page(
        request,
        "new_product.html",
        status,
        nonce=new_nonce(),
        draft=draft,
        key=key,
        problem=problem,
        moved=next((d for d in draft.named if d.name == moved[0]), None),
        moved_from=moved[1],
        next=next_step(draft),
        work=work,
        busy=await desk.ask(desk.drafts.busy),
        policy=await desk.ask(desk.drafts.policy, key),
        kept=kept,
        out=[name for name, is_kept in kept.items() if not is_kept],
        holds=trained is not None and trained.pictures == pictures_of(draft),
        shown=draft.normals if every else draft.normals[:SHOWN],
        rates=sorted({*RATES, draft.rate}),
        enough=ENOUGH,
        fewest=FEWEST,
        meanings=_meanings(),
        **(_told(work) if work else {}),
    )


def _told(work: DraftWork) -> dict[str, str]:
    return {"does": _STEPS.get(work.step, ""), "stage": _STAGES.get(work.stage, "")}


def _meanings() -> list[tuple[str, str]]:
    """What a class may mean, as the page offers it: severity and action in one choice."""
    return [
        (f"{Severity.DEFECT}:{Action.HOLD}", "new.means_hold"),
        (f"{Severity.DEFECT}:{Action.SCRAP}", "new.means_scrap"),
        (f"{Severity.DEFECT}:{Action.REWORK}", "new.means_rework"),
        (f"{Severity.NEGLIGIBLE}:{Action.PASS}", "new.means_pass"),
    ]


async def _do(request: Request, desk: ProductDesk, key: str, form: Mapping[str, str]) -> str:
    """Do it; where the browser goes then."""
    drafts, there, name = desk.drafts, f"/products/new/{key}", form.get("name", "")
    match form.get("do"):
        case "rate":
            await desk.ask(drafts.set_rate, key, _number(form.get("rate", "")))
            await desk.start(request, key, DraftStep.TRAIN, "")
            return f"{there}#train"
        case "teach" | "backtest" as step:
            await desk.start(request, key, DraftStep(step), "")
            return f"{there}#{step}"
        case "live":
            await desk.start(request, key, DraftStep.LIVE, form.get("reason", ""))
            return f"{there}#live"
        case "cancel":
            await desk.cancel(request, key)
        case "keep" | "out" as way:
            await desk.ask(drafts.keep, key, name, way == "keep")
            return f"{there}#odd"
        case "name":
            outline = _corners(form.get("outline", ""))
            _, old = await desk.name(request, key, name, form.get("class", ""), outline)
            moved = f"?{urlencode({'moved': name, 'before': old})}" if old else ""
            return f"{there}{moved}#defects"
        case "remove":
            await desk.ask(drafts.remove_defect, key, name)
            return f"{there}#defects"
        case "mean":
            await desk.ask(drafts.set_class, key, form.get("class", ""), _meaning(form))
            return f"{there}#defects"
        case "policy":
            await desk.write_policy(request, key, form.get("text", ""))
            return f"{there}#policy"
        case "redraft":
            await desk.write_policy(request, key, "")
            return f"{there}#policy"
        case "discard":
            await desk.discard(request, key)
            return "/products/new"
        case _:
            raise BadFormError("nothing is asked for")
    return there


def _meaning(form: Mapping[str, str]) -> DraftClass:
    severity, _, action = form.get("means", "").partition(":")
    try:
        return DraftClass(
            severity=Severity(severity),
            action=Action(action),
            description=form.get("description", "")[:2000],
        )
    except ValueError:
        raise BadFormError(f"{form.get('means')!r} is no meaning of a defect") from None


def _corners(words: str) -> list[Corner]:
    """The outline that the page's script drew: a JSON list of pairs."""
    if not words:
        return []
    try:
        return [(float(x), float(y)) for x, y in json.loads(words)]
    except (ValueError, TypeError):
        raise BadFormError("this is no outline") from None


def _number(words: str) -> float:
    try:
        return float(words)
    except ValueError:
        raise BadFormError(f"{words[:40]!r} is no number") from None
