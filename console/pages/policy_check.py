"""What an editor of a policy asks at every key: problems, and what can stand at the cursor.

Nothing is kept and nothing is looked up: the text alone is judged, by the validator of
``andon policy validate``. The pages' editor asks these routes; so can any other.
"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from console.api import Answers, Mistakes, NoAnswer, only_what_is_known
from console.parts import ConsoleParts
from console.rendering import Renderer
from policies.authoring.completion import complete
from policies.authoring.loading import Report
from policies.authoring.prompt_check import check_text_with_prompt
from policies.authoring.yaml_tree import MAX_BYTES
from policies.errors import Problem

AT_ONCE: Final = 2
"""Checks that run at the same time; others wait their turn, some milliseconds each."""

_REFUSALS: Final[Answers] = {
    400: {"model": NoAnswer, "description": "The body is no JSON."},
    422: {"model": Mistakes, "description": "The request cannot be understood."},
}


class GivenText(BaseModel):
    """A policy as it is written at the moment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(max_length=MAX_BYTES + 1)]
    """YAML; it stands by itself, without ``extends``."""


class TextAndCursor(GivenText):
    """A policy as it is written, and where somebody writes."""

    offset: Annotated[int, Field(ge=0, le=MAX_BYTES + 1, strict=True)]
    """Characters before the cursor."""


class FoundProblem(BaseModel):
    """One thing that is wrong with a policy, or probably not meant."""

    line: int
    """From 1; 0 where it is known of no line."""
    column: int
    code: str
    is_error: bool
    """An error forbids the policy; a warning does not."""
    at: str
    """The path inside the document, such as ``classes.crack.action``."""
    reason: str
    fix: str


class ZoneShape(BaseModel):
    """A zone of a policy, to be drawn."""

    name: str
    unit: str
    polygon: tuple[tuple[float, float], ...]
    stations: tuple[str, ...]


class TextReport(BaseModel):
    """What the validator says of a text; what it defines, where there are no errors."""

    ok: bool
    product: str | None
    policy_hash: str | None
    problems: tuple[FoundProblem, ...]
    zones: tuple[ZoneShape, ...] = ()
    mm_per_px: dict[str, float] = {}
    """Millimetres per pixel, by station."""


class OneOffer(BaseModel):
    """One thing that can stand at the cursor."""

    label: str
    insert: str
    kind: str
    about: str


class OffersAtCursor(BaseModel):
    """What can stand at the cursor; what was typed of it begins at ``start``."""

    start: int
    offers: tuple[OneOffer, ...]


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes."""
    turn = asyncio.Semaphore(AT_ONCE)
    router = APIRouter(
        prefix="/api/policies",
        tags=["policies"],
        responses=_REFUSALS,
        dependencies=[Depends(only_what_is_known)],
    )

    @router.post("/check")
    async def check(given: GivenText) -> TextReport:
        """Every error and every lint of a policy's text."""
        async with turn:
            return told(await run_in_threadpool(check_text_with_prompt, given.text))

    @router.post("/complete")
    async def completion(given: TextAndCursor) -> OffersAtCursor:
        """Keys, words and names that can stand at a place of a policy's text."""
        offset = min(given.offset, len(given.text))
        async with turn:
            found = await run_in_threadpool(complete, given.text, offset)
        offers = tuple(OneOffer(**vars(offer)) for offer in found.offers)
        return OffersAtCursor(start=found.start, offers=offers)

    app.include_router(router)


def told(report: Report) -> TextReport:
    """The validator's report as it is answered."""
    policy = report.policy
    return TextReport(
        ok=report.ok,
        product=policy.product_id if policy else None,
        policy_hash=policy.policy_hash if policy else None,
        problems=tuple(_problem(one) for one in (*report.errors, *report.warnings)),
        zones=tuple(ZoneShape(**zone.model_dump()) for zone in policy.document.zones)
        if policy
        else (),
        mm_per_px=dict(policy.document.mm_per_px) if policy else {},
    )


def _problem(one: Problem) -> FoundProblem:
    return FoundProblem(
        line=one.line,
        column=one.column,
        code=one.code,
        is_error=one.code.startswith("E"),
        at=one.at,
        reason=one.reason,
        fix=one.fix,
    )
