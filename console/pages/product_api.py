"""The API of products that are being brought up: all that the page *New product* does."""

from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from console.api import REFUSALS, Answers, NoAnswer
from console.parts import ConsoleParts
from console.product_desk import ProductDesk
from console.product_drafts import Corner, DraftClass, DraftStep, DraftWork, ProductDraft
from console.rendering import Renderer

PictureName = Annotated[str, Query(min_length=1, max_length=255, description="The file's name.")]
ClassName = Annotated[str, Query(min_length=1, max_length=200, description="Of the defect.")]
_PICTURE = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ProductName(BaseModel):
    """Which product a draft is of."""

    product: Annotated[str, Field(min_length=1, max_length=200)]


class PictureVerdict(BaseModel):
    """Whether a picture shows a good part."""

    kept: bool


class NamedDefect(BaseModel):
    """What a defect is called and where it is."""

    class_name: Annotated[str, Field(min_length=1, max_length=200)]
    outline: Annotated[tuple[Corner, ...], Field(max_length=500)] = ()
    """Corners as shares of width and height; none: the expert says where."""


class PolicyText(BaseModel):
    """The text of a policy."""

    text: Annotated[str, Field(max_length=200_000)]
    """Empty: drafted anew from the classes."""


class StepReason(BaseModel):
    """Why a step is done."""

    reason: Annotated[str, Field(max_length=500)] = ""


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes of the API."""
    desk = ProductDesk(parts)
    refusals: Answers = {
        409: {"model": NoAnswer, "description": "The draft cannot be gone on with as asked."},
        **REFUSALS,
    }
    router = APIRouter(prefix="/api/products/drafts", responses=refusals)
    _add_drafts(router, desk)
    _add_pictures(router, desk)
    _add_steps(router, desk)
    app.include_router(router)


def _add_drafts(router: APIRouter, desk: ProductDesk) -> None:
    @router.get("")
    async def drafts() -> list[ProductDraft]:
        """Every draft, the newest first."""
        return list(await desk.ask(desk.drafts.list))

    @router.post("")
    async def begin(request: Request, asked: ProductName) -> ProductDraft:
        """A new draft, or the one that there is of this product."""
        return await desk.begin(request, asked.product)

    @router.get("/{key}")
    async def draft(key: str) -> ProductDraft:
        """A draft as it stands."""
        return await desk.ask(desk.drafts.read, key)

    @router.delete("/{key}", status_code=204)
    async def discard(request: Request, key: str) -> Response:
        """Forget a draft and its pictures; what is live stays so."""
        await desk.discard(request, key)
        return Response(status_code=204)


def _add_pictures(router: APIRouter, desk: ProductDesk) -> None:
    @router.post("/{key}/normals", openapi_extra=_PICTURE)
    async def add_normal(request: Request, key: str, name: PictureName) -> ProductDraft:
        """Take a picture of a good part, which is the body."""
        return await desk.take(request, key, "normals", name)

    @router.put("/{key}/normals/{name}")
    async def keep(key: str, name: str, asked: PictureVerdict) -> ProductDraft:
        """Take a picture out of the next training, or in again."""
        return await desk.ask(desk.drafts.keep, key, name, asked.kept)

    @router.post("/{key}/defects", openapi_extra=_PICTURE)
    async def add_defect(request: Request, key: str, name: PictureName) -> ProductDraft:
        """Take a picture of a defect, which is the body."""
        return await desk.take(request, key, "defects", name)

    @router.put("/{key}/defects/{name}")
    async def name_defect(
        request: Request, key: str, name: str, asked: NamedDefect
    ) -> ProductDraft:
        """Say what a defect is called and where it is."""
        draft, _ = await desk.name(request, key, name, asked.class_name, asked.outline)
        return draft

    @router.delete("/{key}/defects/{name}")
    async def remove_defect(key: str, name: str) -> ProductDraft:
        """Forget a picture of a defect."""
        return await desk.ask(desk.drafts.remove_defect, key, name)

    @router.put("/{key}/classes")
    async def set_class(key: str, name: ClassName, asked: DraftClass) -> ProductDraft:
        """Say what a kind of defect means for a part."""
        return await desk.ask(desk.drafts.set_class, key, name, asked)


def _add_steps(router: APIRouter, desk: ProductDesk) -> None:
    @router.get("/{key}/policy")
    async def policy(key: str) -> PolicyText:
        """The draft's policy."""
        return PolicyText(text=await desk.ask(desk.drafts.policy, key))

    @router.put("/{key}/policy")
    async def write_policy(request: Request, key: str, asked: PolicyText) -> ProductDraft:
        """Take a text for the draft's policy, and check it."""
        return await desk.write_policy(request, key, asked.text)

    @router.post("/{key}/steps/{step}", status_code=202)
    async def start(
        request: Request, key: str, step: DraftStep, asked: StepReason
    ) -> DraftWork | None:
        """Let a step begin in a process of its own: train, teach, backtest or live."""
        await desk.start(request, key, step, asked.reason)
        return await desk.ask(desk.drafts.work, key)

    @router.get("/{key}/work")
    async def work(key: str) -> DraftWork | None:
        """The step that runs, or ran last."""
        return await desk.ask(desk.drafts.work, key)

    @router.delete("/{key}/work")
    async def cancel(request: Request, key: str) -> DraftWork | None:
        """End the step that runs."""
        await desk.cancel(request, key)
        return await desk.ask(desk.drafts.work, key)
