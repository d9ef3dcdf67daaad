"""A worker's answer to a gateway that asks for a recipe: policy read and expert warm, or not."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from streams.changeovers import ChangeoverPhase, ChangeoverStep, step_id
from streams.codes import FaultCode
from streams.envelope import from_message, to_message
from streams.kafka.delivery import Delivery
from streams.policy_read import policy_read
from streams.ports import Failure, PolicySource, VisionExpert
from streams.roles.calls import remaining_s
from streams.roles.results import Results
from streams.topics import CHANGEOVERS

ANSWER_S = 0.3
"""An answer is sent this long before the gateway gives up."""


@dataclass(frozen=True)
class RecipeStage:
    """Answers the requests on ``andon.changeovers`` for the role that has these ports."""

    expert: VisionExpert
    policies: PolicySource
    results: Results

    async def handle(self, delivery: Delivery) -> None:
        """One step of a change-over: a request that is still waited for is answered.

        Raises:
            EventError: it is no such event.
        """
        step = from_message(ChangeoverStep, delivery.value, delivery.headers)
        if step.phase is not ChangeoverPhase.REQUESTED:
            return
        due_s = self.results.clocks.due_s(step.key, step.deadline.timestamp() - ANSWER_S)
        left_s = remaining_s(due_s)
        if not left_s:
            return
        answer = await self._answer(step, left_s)
        words = {"product": step.product_id, "phase": answer.phase.value, "why": answer.reason}
        self.results.telemetry.log("recipe", line=step.line, recipe=step.recipe, **words)
        await self.results.send(CHANGEOVERS.name, to_message(answer))

    async def _answer(self, step: ChangeoverStep, left_s: float) -> ChangeoverStep:
        until = time.monotonic() + left_s
        policy = await policy_read(self.policies, step.product_id, step.policy_hash, left_s)
        if isinstance(policy, Failure):
            return self._said(step, FaultCode.RECIPE_POLICY, policy.message)
        left_s = max(until - time.monotonic(), 0.01)
        version = await self.expert.warm(step.product_id, step.expert_version, left_s, step.key)
        if isinstance(version, Failure):
            why = f"{version.error_type}: {version.message}"
            return self._said(step, FaultCode.RECIPE_EXPERT, why, policy)
        return self._said(step, FaultCode.NONE, "", policy, version)

    def _said(
        self, step: ChangeoverStep, code: FaultCode, why: str, policy: str = "", version: str = ""
    ) -> ChangeoverStep:
        phase = ChangeoverPhase.PREPARED if code is FaultCode.NONE else ChangeoverPhase.REFUSED
        now = datetime.fromtimestamp(self.results.clocks.at_s(step.key), UTC)
        stage = self.results.stage
        changes = {
            "step_id": step_id(step.changeover_id, stage, phase),
            "stage": stage,
            "phase": phase,
            "policy_hash": policy,
            "expert_version": version,
            "fault_code": code,
            "reason": why[:2048],
            "at": now,
            "took_ms": round((now - step.at).total_seconds() * 1000, 1),
        }
        return step.model_copy(update=changes)
