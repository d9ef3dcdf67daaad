"""The inspect role: frames to the vision expert, decisions and anomalies out."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass

from streams.codes import ReasonCode
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Frame, Inspection
from streams.kafka.delivery import Delivery
from streams.ports import (
    MAX_OBJECT_BYTES,
    Failure,
    ImageStore,
    InspectionRequest,
    Policy,
    PolicySource,
    VisionExpert,
)
from streams.roles.calls import Answered, Calls, FallbackDue, InTime, remaining_s
from streams.roles.changeovers import RecipeStage
from streams.roles.decisions import (
    Moment,
    Reaction,
    fallback,
)
from streams.roles.inspected import anomalous, inspected_late, normal, not_inspected
from streams.roles.metrics import SCORES
from streams.roles.pictures import fetched
from streams.roles.queues import ToldQueues
from streams.roles.results import Results
from streams.roles.salvage import attributes
from streams.topics import CHANGEOVERS
from streams.tracing.spans import CURRENT, PART

NO_SLOT = Failure(ReasonCode.LATE, "Overloaded", "too many large images at once")


@dataclass(eq=False)
class InspectRole:
    """Handles one frame at a time to its end; many run at once."""

    expert: VisionExpert
    policies: PolicySource
    results: Results
    images: ImageStore | None = None

    def __post_init__(self) -> None:
        self._calls: Calls[InspectionRequest, Inspection] = Calls(
            self.expert.inspect,
            self.results.flow,
            ReasonCode.EXPERT_UNAVAILABLE,
            batch=self.results.flow.batch,
            queues=ToldQueues(
                lambda request: request.product_id,
                lambda answer: answer.timings_ms.get("queue", 0.0) / 1000,
            ),
        )
        self._recipes = RecipeStage(self.expert, self.policies, self.results)
        slots = max(1, self.results.flow.in_flight_bytes // MAX_OBJECT_BYTES)
        self._large_images = asyncio.Semaphore(slots)

    async def close(self) -> None:
        """Give up what is under way."""
        await self._calls.close()

    async def handle(self, delivery: Delivery) -> None:
        """One frame, or a recipe that is asked for: returns once its results are at the broker."""
        if delivery.topic == CHANGEOVERS.name:
            await self._recipes.handle(delivery)
            return
        try:
            frame = from_message(Frame, delivery.value, delivery.headers)
        except EventError as error:
            await self._unreadable(delivery, error, ReasonCode.MALFORMED_EVENT)
            return
        PART.set(frame)
        sent_s = delivery.produced_s or frame.captured_at.timestamp()
        self.results.heard(frame, sent_s, delivery)
        due_s = await self.results.due_s(frame)
        if frame.dataref is None:
            await self._inspect(frame, delivery, delivery.value, due_s)
            return
        try:
            async with asyncio.timeout(remaining_s(due_s)):
                await self._large_images.acquire()
        except TimeoutError:
            await self._not_inspected(frame, delivery, NO_SLOT)
            return
        try:
            image = await fetched(frame, self.images, remaining_s(due_s))
            if isinstance(image, Failure):
                await self._not_inspected(frame, delivery, image)
            else:
                await self._inspect(frame, delivery, image, due_s)
        finally:
            self._large_images.release()

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen: the fallback if the part can be read, and a dead letter."""
        await self._unreadable(delivery, error, ReasonCode.NO_DECISION)

    async def _inspect(self, frame: Frame, delivery: Delivery, image: bytes, due_s: float) -> None:
        trace = str(CURRENT.get() or "")
        request = InspectionRequest(frame.frame_id, frame.product_id, image, trace)
        asked = self._calls.ask(request, due_s, len(image), frame.line)
        async with aclosing(asked) as steps:
            async for step in steps:
                if isinstance(step, FallbackDue):
                    self.results.telemetry.answered("expert", step.failure)
                    policy, moment = self._policy(frame), self._moment(frame, delivery)
                    said = self.results.in_words(step.failure, frame)
                    await self.results.decision(fallback(frame, said, policy, moment))
                    continue
                moment = self._moment(frame, delivery, step.answered)
                self.results.telemetry.stages(moment.timings_ms)
                answer = step.answered.answer
                if not isinstance(answer, Failure) and answer.threshold > 0:
                    ratio = answer.score / answer.threshold
                    self.results.telemetry.observe(SCORES, frame.product_id, ratio)
                if isinstance(step, InTime):
                    failure = answer if isinstance(answer, Failure) else None
                    self.results.telemetry.answered("expert", failure)
                    reaction = self._in_time(frame, answer, moment)
                else:
                    reaction = inspected_late(frame, answer, moment)
                await self.results.reaction(delivery, frame.frame_id, reaction)

    def _in_time(self, frame: Frame, answer: Inspection | Failure, moment: Moment) -> Reaction:
        if isinstance(answer, Failure):
            return not_inspected(frame, answer, self._policy(frame), moment)
        if answer.anomalous:
            return anomalous(frame, answer, moment)
        return normal(frame, answer, self._policy(frame), moment)

    async def _not_inspected(self, frame: Frame, delivery: Delivery, failure: Failure) -> None:
        moment = self._moment(frame, delivery)
        reaction = not_inspected(frame, failure, self._policy(frame), moment)
        await self.results.reaction(delivery, frame.frame_id, reaction)

    async def _unreadable(self, delivery: Delivery, error: Exception, code: ReasonCode) -> None:
        fields = attributes(delivery.headers)
        await self.results.unreadable(delivery, fields, error, code, self.policies)

    def _policy(self, frame: Frame) -> Policy:
        return self.policies.for_product(frame.product_id)

    def _moment(
        self, frame: Frame, delivery: Delivery, answered: Answered[Inspection] | None = None
    ) -> Moment:
        clocks, timings = (
            self.results.clocks,
            {"inspect": (time.monotonic() - delivery.arrived_s) * 1000},
        )
        if answered is not None:
            queued_s = clocks.at_s(frame.key, answered.sent_s) - frame.captured_at.timestamp()
            timings["queue_inspect"] = queued_s * 1000
            timings["expert"] = (answered.answered_s - answered.sent_s) * 1000
        return self.results.moment(frame.key, timings)
