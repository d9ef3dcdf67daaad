"""Policies for programs and for the scripts of the policy pages: same routes, same rights."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from console.api import Answers, Mistakes, NoAnswer, only_what_is_known
from console.identity import who_of
from console.parts import ConsoleParts
from console.policies.answers import (
    AnsweredRequest,
    BacktestStatus,
    ChangeOutcome,
    GivenPolicy,
    JudgedParts,
    PolicyDifference,
    PolicyEntry,
    PolicyHash,
    ProductPolicy,
    VersionText,
    WantedChange,
)
from console.policies.desk import PolicyWish
from console.policies.judged import judged_parts
from console.policies.reading import NamedProduct, actor_of, policy_of
from console.policies.recent import RecentParts
from console.rendering import Renderer

_REFUSALS: Final[Answers] = {
    400: {"model": NoAnswer, "description": "The body is no JSON."},
    404: {"model": NoAnswer, "description": "There is no such product, version or request."},
    409: {"model": NoAnswer, "description": "Not as things are: changed meanwhile, or it softens."},
    422: {"model": Mistakes, "description": "The request, or the policy in it, is not one."},
    503: {"model": NoAnswer, "description": "The database or the broker does not answer."},
}


class BacktestWanted(GivenPolicy):
    """A text that is tried on what was recorded."""

    days: Annotated[float, Field(gt=0, le=3650, strict=True)] = 30.0


def add(app: FastAPI, parts: ConsoleParts, renderer: Renderer) -> None:
    """The routes."""
    router = APIRouter(
        prefix="/api/policies",
        tags=["policies"],
        responses=_REFUSALS,
        dependencies=[Depends(only_what_is_known)],
    )
    _add_questions(router, parts)
    _add_trials(router, parts)
    _add_backtests(router, parts)
    _add_changes(router, parts)
    app.include_router(router)


def _add_questions(router: APIRouter, parts: ConsoleParts) -> None:
    desk = parts.policies

    @router.get("")
    async def policies() -> list[ProductPolicy]:
        """Every product, the policy in force for it, and what waits for a second person."""
        return await desk.products()

    @router.get("/{product}")
    async def policy(product: NamedProduct) -> ProductPolicy:
        """One product."""
        return await desk.product(product)

    @router.get("/{product}/text")
    async def text(product: NamedProduct, version: PolicyHash | None = None) -> VersionText:
        """The YAML of a version; of the one in force without `version`."""
        return await desk.text(product, version)

    @router.get("/{product}/log")
    async def log(
        product: NamedProduct, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> list[PolicyEntry]:
        """Who put which version in force, when and why, the latest first."""
        return await desk.log(product, limit)


def _add_trials(router: APIRouter, parts: ConsoleParts) -> None:
    desk, recent = parts.policies, RecentParts(parts.history)

    @router.post("/{product}/difference")
    async def difference(product: NamedProduct, given: GivenPolicy) -> PolicyDifference:
        """What changes from the policy in force, or the one that was withdrawn, to a text;
        softenings by name."""
        wanted = await policy_of(given.text, product)
        return await desk.differences.between(await desk.last(product), wanted)

    @router.post("/{product}/parts")
    async def judged(product: NamedProduct, given: GivenPolicy) -> JudgedParts:
        """The last parts on which a classifier or a fallback had a say, under the policy in force
        and under a text: which rule decides each."""
        wanted, before = await policy_of(given.text, product), await desk.in_force(product)
        last = await recent.of(product)
        return await run_in_threadpool(judged_parts, before, wanted, last)


def _add_backtests(router: APIRouter, parts: ConsoleParts) -> None:
    tests = parts.policies.backtests

    @router.post("/{product}/backtests", status_code=202)
    async def start(
        request: Request, product: NamedProduct, given: BacktestWanted
    ) -> BacktestStatus:
        """Begin to run a text over what was recorded; ask for the status until it is done."""
        wanted = await policy_of(given.text, product)
        since = datetime.now(UTC) - timedelta(days=given.days)
        return tests.start(wanted, since, who_of(request).name)

    @router.get("/{product}/backtests/{test_id}")
    async def status(product: NamedProduct, test_id: str) -> BacktestStatus:
        """How far a back-test is, and what it found."""
        return tests.status(product, test_id)

    @router.post("/{product}/backtests/{test_id}/cancel")
    async def cancel(product: NamedProduct, test_id: str) -> BacktestStatus:
        """End a back-test."""
        return tests.cancel(product, test_id)


def _add_changes(router: APIRouter, parts: ConsoleParts) -> None:
    desk = parts.policies

    @router.post("/{product}/changes")
    async def change(request: Request, product: NamedProduct, given: WantedChange) -> ChangeOutcome:
        """Put a version in force, or ask a second person to where one is needed."""
        actor, source = actor_of(request), given.text
        if given.policy_hash is not None:
            policy, source = await desk.stored(product, given.policy_hash)
        else:
            policy = await policy_of(given.text or "", product)
        wish = PolicyWish(policy, source, given.replaces, given.reason, given.allow_softening)
        return await desk.change(wish, actor)

    @router.post("/{product}/requests/{number}")
    async def answer(
        request: Request,
        product: NamedProduct,
        number: Annotated[int, Path(ge=1, lt=1 << 62)],
        given: AnsweredRequest,
    ) -> ChangeOutcome:
        """Approve or refuse what somebody else asked for, or withdraw one's own."""
        return await desk.answer(product, number, given.answer, given.reason, actor_of(request))
