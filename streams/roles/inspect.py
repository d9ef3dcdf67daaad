"""The inspect role: frames to the vision expert, decisions and anomalies out."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

from streams.codes import ReasonCode, Stage
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Frame, Inspection
from streams.kafka.delivery import Delivery, dead_letter
from streams.ports import (
    Failure,
    ImageStore,
    InspectionRequest,
    Policy,
    PolicySource,
    VisionExpert,
)
from streams.roles.asking import FallbackDue, InTime, ask
from streams.roles.batcher import Answered, Batcher
from streams.roles.config import FlowConfig
from streams.roles.deadlines import fallback_due_s, remaining_s
from streams.roles.inspect_core import (
    Clock,
    DeadCause,
    Results,
    dead_cause,
    on_answer,
    on_fallback,
    on_late_answer,
)
from streams.roles.metrics import RoleMetrics
from streams.roles.outbox import Outbox
from streams.roles.pictures import picture
from streams.roles.salvage import attributes, readable_frame_id, salvage

LARGE_IMAGE_BYTES = 64 << 20
"""Memory set aside for one image fetched by ``dataref``."""
NO_SLOT = Failure(ReasonCode.LATE, "Overloaded", "too many large images at once")


class InspectRole:
    """Handles one frame at a time to its end; many run at once."""

    def __init__(
        self,
        expert: VisionExpert,
        policies: PolicySource,
        outbox: Outbox,
        metrics: RoleMetrics,
        flow: FlowConfig,
        images: ImageStore | None = None,
    ) -> None:
        self._policies = policies
        self._outbox = outbox
        self._metrics = metrics
        self._flow = flow
        self._images = images
        self._expert = expert
        self._batcher: Batcher[InspectionRequest, Inspection] = Batcher(
            self._inspect,
            batch=flow.batch,
            wait_s=flow.batch_wait_s,
            calls=max(1, flow.concurrency // flow.batch),
            longest_call_s=flow.call_timeout_s,
            backlog_bytes=flow.in_flight_bytes // 2,
            unavailable=ReasonCode.EXPERT_UNAVAILABLE,
        )
        slots = max(1, flow.in_flight_bytes // LARGE_IMAGE_BYTES)
        self._large_images = asyncio.Semaphore(slots)

    async def close(self) -> None:
        """Give up what is under way."""
        await self._batcher.close()

    async def handle(self, delivery: Delivery) -> None:
        """One frame: returns once its results are at the broker."""
        try:
            frame = from_message(Frame, delivery.value, delivery.headers)
        except EventError as error:
            await self._unreadable(delivery, error, ReasonCode.MALFORMED_EVENT)
            return
        due_s = fallback_due_s(frame.deadline.timestamp(), self._flow.margin_s)
        if frame.dataref is None:
            await self._inspect_frame(frame, delivery, delivery.value, due_s)
            return
        try:
            async with asyncio.timeout(remaining_s(due_s, time.time())):
                await self._large_images.acquire()
        except TimeoutError:
            await self._answered(frame, delivery, NO_SLOT, self._clock(frame, delivery))
            return
        try:
            left_s = remaining_s(due_s, time.time())
            image = await picture(frame, delivery.value, self._images, left_s)
            if isinstance(image, Failure):
                await self._answered(frame, delivery, image, self._clock(frame, delivery))
            else:
                await self._inspect_frame(frame, delivery, image, due_s)
        finally:
            self._large_images.release()

    async def _inspect_frame(
        self, frame: Frame, delivery: Delivery, image: bytes, due_s: float
    ) -> None:
        request = InspectionRequest(frame.frame_id, frame.product_id, image)
        async with aclosing(ask(self._batcher, request, due_s, len(image), self._flow)) as steps:
            async for step in steps:
                if isinstance(step, FallbackDue):
                    clock, policy = self._clock(frame, delivery), self._policy(frame)
                    await self._outbox.decision(on_fallback(frame, step.failure, policy, clock))
                    continue
                clock = self._clock(frame, delivery, step.answered)
                self._metrics.stages(clock.timings_ms)
                if isinstance(step, InTime):
                    await self._answered(frame, delivery, step.answered.answer, clock)
                else:
                    results = on_late_answer(frame, step.answered.answer, clock)
                    await self._send(frame, delivery, results)

    async def _answered(
        self, frame: Frame, delivery: Delivery, answer: Inspection | Failure, clock: Clock
    ) -> None:
        await self._send(frame, delivery, on_answer(frame, answer, self._policy(frame), clock))

    async def _send(self, frame: Frame, delivery: Delivery, results: Results) -> None:
        if results.decision is not None:
            await self._outbox.decision(results.decision)
        if results.anomaly is not None:
            await self._outbox.anomaly(results.anomaly, delivery.value)
        if results.dead is not None:
            await self._dead(delivery, results.dead, frame.frame_id)

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen: the fallback if the part can be read, and a dead letter."""
        await self._unreadable(delivery, error, ReasonCode.NO_DECISION)

    async def _unreadable(self, delivery: Delivery, error: Exception, code: ReasonCode) -> None:
        fields = attributes(delivery.headers)
        failure = Failure(code, type(error).__name__, str(error))
        part = salvage(delivery, fields)
        if part is not None:
            policy = self._policies.for_product(part.product_id)
            await self._outbox.decision(on_fallback(part, failure, policy, Clock(time.time())))
        frame_id = part.frame_id if part else readable_frame_id(fields)
        await self._dead(delivery, dead_cause(failure), frame_id)

    async def _dead(self, delivery: Delivery, cause: DeadCause, frame_id: UUID | None) -> None:
        now = datetime.now(UTC)
        letter = dead_letter(delivery, Stage.INSPECT, cause.error_type, cause.error, now, frame_id)
        await self._outbox.dead_letter(letter, cause.error_type, cause.error)

    async def _inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        return await self._expert.inspect(requests, timeout_s)

    def _policy(self, frame: Frame) -> Policy:
        return self._policies.for_product(frame.product_id)

    def _clock(
        self, frame: Frame, delivery: Delivery, answered: Answered[Inspection] | None = None
    ) -> Clock:
        now_s = time.time()
        timings = {"inspect": (now_s - delivery.arrived_s) * 1000}
        if answered is not None:
            timings["queue_inspect"] = (answered.sent_s - frame.captured_at.timestamp()) * 1000
            timings["expert"] = (answered.answered_s - answered.sent_s) * 1000
        return Clock(now_s, timings)
