"""A change of the recipe carried out: policy and expert are asked for, then the camera is set.

The worker that inspects this station's frames is asked by ``andon.changeovers``: it has a policy
reader of its own, and it knows the experts. The camera comes last, so that a recipe which cannot
be had leaves it as it was. Each step is an event; the history keeps them.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import structlog

from connectors.errors import CaptureError
from connectors.gateway.exposures import Exposures
from connectors.handshake import values as hs
from connectors.settings import GatewaySettings
from streams.changeovers import ChangeoverPhase, ChangeoverStep, step_id
from streams.codes import DecisionSource, FaultCode, Stage
from streams.envelope import to_message
from streams.events import Decision
from streams.policy_read import policy_read
from streams.ports import Failure, PolicySource, Publisher
from streams.topics import CHANGEOVERS

log = structlog.get_logger(__name__)
Post = Callable[[Coroutine[None, None, None]], None]
_REMEMBERED = 64
"""Change-overs whose names are kept; only the last one or two are under way."""


@dataclass
class _Refused(Exception):
    """A stage cannot have the recipe."""

    code: FaultCode
    why: str


@dataclass(eq=False)
class _Work:
    """The task that carries out one change-over, and what it waits for."""

    changeover: hs.Changeover
    answer: asyncio.Future[ChangeoverStep]
    task: asyncio.Task[None] | None = None
    waits_for: str = ""


@dataclass(eq=False)
class RecipeChanges:
    """Carries out ``PrepareRecipe`` and ``AbandonRecipe``, one after another.

    Args:
        settings: the recipes, and the place in the plant.
        exposures: whose cameras are set.
        policies: those that the gateway itself decides by.
        publisher: takes the steps.
        apply: where the handshake is told.
        post: runs a coroutine beside, and logs what it raises.
    """

    settings: GatewaySettings
    exposures: Exposures
    policies: PolicySource
    publisher: Publisher
    apply: Callable[[hs.Input], None]
    post: Post
    _work: _Work | None = None
    _ids: dict[int, UUID] = field(default_factory=dict)

    def execute(self, command: hs.PrepareRecipe | hs.AbandonRecipe | hs.RecipeReport) -> None:
        """Carry out a command of the handshake; what is under way is left for it."""
        match command:
            case hs.PrepareRecipe(changeover):
                log.info("recipe.asked", seq=changeover.seq, recipe=changeover.recipe)
                self._begin(changeover, self._prepare)
            case hs.AbandonRecipe(changeover):
                self._begin(changeover, self._go_back)
            case hs.RecipeReport():
                self._report(command)

    def hear(self, step: ChangeoverStep) -> None:
        """A stage's answer, or anything else on the topic."""
        work = self._work
        if work is None or step.stage is not Stage.INSPECT or work.answer.done():
            return
        if step.changeover_id == self._ids.get(work.changeover.number):
            work.answer.set_result(step)

    def contradiction(self, event: Decision) -> str:
        """Why a decision is not one of its part's recipe; empty where it is."""
        recipe = self.settings.recipes.get(event.recipe)
        if recipe is None or event.source is DecisionSource.WATCHDOG:
            return ""
        if event.policy_hash and not event.policy_hash.startswith(recipe.policy):
            return f"policy {event.policy_hash[:12]} decided, the recipe is of {recipe.policy[:12]}"
        inspection = event.inspection
        if inspection is not None and not inspection.expert_version.startswith(recipe.expert):
            found = inspection.expert_version[:12]
            return f"expert {found} looked, and the recipe is of {recipe.expert[:12]}"
        return ""

    async def close(self) -> None:
        """Leave what is under way."""
        if self._work is not None and self._work.task is not None:
            self._work.task.cancel()
            await asyncio.gather(self._work.task, return_exceptions=True)

    # --- inside ---------------------------------------------------------------------------

    def _report(self, report: hs.RecipeReport) -> None:
        """Publish how a change-over ended."""
        code, why = report.refusal or (FaultCode.NONE, "")
        phase = ChangeoverPhase.REFUSED if report.refusal else ChangeoverPhase.ACKNOWLEDGED
        step = self._step(report.changeover, phase, report.ended_at, code, why)
        words = {"recipe": step.recipe, "name": step.recipe_name, "took_ms": step.took_ms}
        words |= {"seq": report.changeover.seq, "before": step.recipe_before}
        if report.refusal:
            log.error("recipe.refused", **words, code=code.name, why=why)
        else:
            log.info("recipe.changed", **words, product=step.product_id)
        self.post(self._send(step))

    def _begin(
        self,
        changeover: hs.Changeover,
        carry_out: Callable[[_Work, str], Awaitable[None]],
    ) -> None:
        before, answer = self._work, asyncio.get_running_loop().create_future()
        self._work = work = _Work(changeover, answer)
        work.task = asyncio.create_task(self._after(before, work, carry_out))

    async def _after(
        self,
        before: _Work | None,
        work: _Work,
        carry_out: Callable[[_Work, str], Awaitable[None]],
    ) -> None:
        """Two never set the camera at once."""
        waited_for = ""
        if before is not None and before.task is not None:
            waited_for = before.waits_for
            before.task.cancel()
            await asyncio.gather(before.task, return_exceptions=True)
        await carry_out(work, waited_for)

    async def _prepare(self, work: _Work, _: str) -> None:
        changeover = work.changeover
        try:
            await self._stages(work)
        except _Refused as error:
            await self._restore(changeover.before)
            self.apply(hs.RecipeRefused(changeover.number, error.code, error.why))
        except Exception as error:  # the handshake must hear of it, whatever it is
            log.exception("recipe.failed")
            await self._restore(changeover.before)
            why = f"{type(error).__name__}: {error}"[:512]
            self.apply(hs.RecipeRefused(changeover.number, FaultCode.RECIPE_TIMEOUT, why))
        else:
            phase, now = ChangeoverPhase.PREPARED, time.monotonic()
            self.post(self._send(self._step(changeover, phase, now)))
            self.apply(hs.RecipePrepared(changeover.number))

    async def _stages(self, work: _Work) -> None:
        recipe = self.settings.recipes[work.changeover.recipe]
        left_s = max(work.changeover.deadline - time.monotonic(), 0.01)
        work.waits_for = "no worker of the role inspect answered on andon.changeovers"
        now = time.monotonic()
        asked = self._step(work.changeover, ChangeoverPhase.REQUESTED, now)
        self.post(self._send(asked))
        own = await policy_read(self.policies, recipe.product, recipe.policy, left_s)
        if isinstance(own, Failure):
            raise _Refused(FaultCode.RECIPE_POLICY, f"the gateway: {own.message}")
        answer = await work.answer
        if answer.phase is not ChangeoverPhase.PREPARED:
            code = FaultCode(answer.fault_code)
            raise _Refused(code, f"{answer.stage.value}: {answer.reason}")
        work.waits_for = "the camera did not take its features"
        try:
            await self.exposures.adjust(recipe.camera_features)
        except CaptureError as error:
            raise _Refused(FaultCode.RECIPE_CAMERA, str(error)) from None

    async def _go_back(self, work: _Work, waited_for: str) -> None:
        await self._restore(work.changeover.before)
        number = work.changeover.number
        self.apply(hs.RecipeRefused(number, FaultCode.RECIPE_TIMEOUT, waited_for))

    async def _restore(self, recipe: int) -> None:
        """Set the camera as it was; one that does not take it is opened again with it."""
        if recipe in self.settings.recipes:
            with contextlib.suppress(CaptureError):
                await self.exposures.adjust(self.settings.recipes[recipe].camera_features)

    def _step(
        self,
        changeover: hs.Changeover,
        phase: ChangeoverPhase,
        at: float,
        code: FaultCode = FaultCode.NONE,
        why: str = "",
    ) -> ChangeoverStep:
        """The gateway's own step; ``at`` is monotonic, seconds."""
        own, recipe = self.settings, self.settings.recipes.get(changeover.recipe)
        offset = time.time() - time.monotonic()
        identity = self._ids.setdefault(changeover.number, uuid4())
        while len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return ChangeoverStep(
            step_id=step_id(identity, Stage.GATEWAY, phase),
            changeover_id=identity,
            phase=phase,
            stage=Stage.GATEWAY,
            line=own.line,
            station=own.station,
            recipe=changeover.recipe,
            recipe_name=recipe.called if recipe else "",
            recipe_before=changeover.before,
            product_id=recipe.product if recipe else "",
            policy_hash=recipe.policy if recipe else "",
            expert_version=recipe.expert if recipe else "",
            fault_code=code,
            reason=why[:2048],
            deadline=datetime.fromtimestamp(changeover.deadline + offset, UTC),
            at=datetime.fromtimestamp(at + offset, UTC),
            took_ms=round((at - changeover.began_at) * 1000, 1),
            is_simulated=own.is_simulated,
        )

    async def _send(self, step: ChangeoverStep) -> None:
        await self.publisher.send(CHANGEOVERS.name, to_message(step))
