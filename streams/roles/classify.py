"""The classify role: anomalies to the classifier, decisions out."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

from streams.codes import ReasonCode, Stage
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Anomaly, Classification
from streams.kafka.delivery import Delivery, dead_letter
from streams.ports import (
    AnomalyClassifier,
    Asked,
    ClassificationRequest,
    Failure,
    ImageStore,
    LateAnswers,
    PolicySource,
)
from streams.roles.asking import FallbackDue, InTime, ask
from streams.roles.batcher import Answered, Batcher
from streams.roles.classify_core import may_come_late, on_answer, on_fallback, on_late_answer
from streams.roles.config import FlowConfig
from streams.roles.deadlines import fallback_due_s, remaining_s
from streams.roles.inspect_core import Clock, DeadCause, Results, dead_cause
from streams.roles.inspect_core import on_fallback as on_fallback_of_part
from streams.roles.late import LateCollector, LatePart
from streams.roles.metrics import RoleMetrics
from streams.roles.outbox import Outbox
from streams.roles.pictures import picture
from streams.roles.salvage import attributes, nested_attributes, readable_frame_id, salvage


class ClassifyRole:
    """Handles one anomaly at a time to its end; many run at once."""

    def __init__(
        self,
        classifier: AnomalyClassifier,
        policies: PolicySource,
        outbox: Outbox,
        metrics: RoleMetrics,
        flow: FlowConfig,
        images: ImageStore | None = None,
        late: LateAnswers | None = None,
    ) -> None:
        """``late`` is where the classifier keeps answers that outlived their call."""
        self._classifier = classifier
        self._policies = policies
        self._outbox = outbox
        self._metrics = metrics
        self._flow = flow
        self._images = images
        self._late = None if late is None else LateCollector(late, self._send_late, metrics, flow)
        self._batcher: Batcher[ClassificationRequest, Classification] = Batcher(
            self._classify,
            batch=1,
            wait_s=0.0,
            calls=flow.concurrency,
            longest_call_s=flow.call_timeout_s,
            backlog_bytes=flow.in_flight_bytes // 2,
            unavailable=ReasonCode.CLASSIFIER_UNAVAILABLE,
        )

    async def close(self) -> None:
        """Give up what is under way."""
        if self._late is not None:
            await self._late.close()
        await self._batcher.close()

    async def handle(self, delivery: Delivery) -> None:
        """One anomaly: returns once its results are at the broker."""
        try:
            anomaly = from_message(Anomaly, delivery.value, delivery.headers)
        except EventError as error:
            await self._unreadable(delivery, error, ReasonCode.MALFORMED_EVENT)
            return
        if not anomaly.classify:
            return
        due_s = fallback_due_s(anomaly.frame.deadline.timestamp(), self._flow.margin_s)
        left_s = remaining_s(due_s, time.time())
        image = await picture(anomaly.frame, delivery.value, self._images, left_s)
        policy = self._policies.for_product(anomaly.frame.product_id)
        if isinstance(image, Failure):
            clock = self._clock(delivery)
            await self._send(anomaly, delivery, on_answer(anomaly, image, policy, clock))
            return
        request = ClassificationRequest(
            frame_id=anomaly.frame.frame_id,
            image=image,
            inspection=anomaly.inspection,
            texts=policy.texts(anomaly.frame.station),
            deadline=anomaly.frame.deadline,
        )
        may_come = await self._decide(anomaly, request, due_s, delivery)
        self._expect(may_come, anomaly, request, delivery)

    async def _decide(
        self, anomaly: Anomaly, request: ClassificationRequest, due_s: float, delivery: Delivery
    ) -> bool:
        """Ask, decide, send. Whether an answer may still come."""
        may_come, size = False, len(request.image)
        async with aclosing(ask(self._batcher, request, due_s, size, self._flow)) as steps:
            async for step in steps:
                policy = self._policies.for_product(anomaly.frame.product_id)
                if isinstance(step, FallbackDue):
                    may_come = may_come_late(step.failure)
                    decision = on_fallback(anomaly, step.failure, policy, self._clock(delivery))
                    await self._outbox.decision(decision)
                    continue
                answer, clock = step.answered.answer, self._clock(delivery, step.answered)
                may_come = isinstance(answer, Failure) and (may_come or may_come_late(answer))
                self._metrics.stages(clock.timings_ms)
                react = on_answer if isinstance(step, InTime) else on_late_answer
                await self._send(anomaly, delivery, react(anomaly, answer, policy, clock))
        return may_come

    def _expect(
        self, may_come: bool, anomaly: Anomaly, request: ClassificationRequest, delivery: Delivery
    ) -> None:
        if self._late is None:
            return
        asked = Asked(request.frame_id, request.texts.policy_hash)
        if may_come:
            self._late.remember(asked, LatePart(anomaly, delivery.arrived_s))
        else:
            self._late.forget(asked)

    async def _send_late(self, part: LatePart, answer: Classification) -> None:
        """A second decision of a part whose fallback stands: recorded, and no action changes."""
        now_s = time.time()
        classify_ms = (now_s - part.arrived_s) * 1000
        clock = Clock(now_s, {"classify": classify_ms, "classifier": answer.latency_ms})
        policy = self._policies.for_product(part.anomaly.frame.product_id)
        results = on_late_answer(part.anomaly, answer, policy, clock)
        if results.decision is not None:
            await self._outbox.decision(results.decision)

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen: the fallback if the part can be read, and a dead letter."""
        await self._unreadable(delivery, error, ReasonCode.NO_DECISION)

    async def _unreadable(self, delivery: Delivery, error: Exception, code: ReasonCode) -> None:
        outer = attributes(delivery.headers)
        fields = nested_attributes(outer.get("frame", ""))
        failure = Failure(code, type(error).__name__, str(error))
        part = salvage(delivery, fields)
        if part is not None and outer.get("classify") != "false":
            policy = self._policies.for_product(part.product_id)
            clock = Clock(time.time())
            await self._outbox.decision(on_fallback_of_part(part, failure, policy, clock))
        frame_id = part.frame_id if part else readable_frame_id(fields)
        await self._dead(delivery, dead_cause(failure), frame_id)

    async def _send(self, anomaly: Anomaly, delivery: Delivery, results: Results) -> None:
        if results.decision is not None:
            await self._outbox.decision(results.decision)
        if results.dead is not None:
            await self._dead(delivery, results.dead, anomaly.frame.frame_id)

    async def _dead(self, delivery: Delivery, cause: DeadCause, frame_id: UUID | None) -> None:
        now = datetime.now(UTC)
        letter = dead_letter(delivery, Stage.CLASSIFY, cause.error_type, cause.error, now, frame_id)
        await self._outbox.dead_letter(letter, cause.error_type, cause.error)

    async def _classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        return await self._classifier.classify(requests, timeout_s)

    def _clock(self, delivery: Delivery, answered: Answered[Classification] | None = None) -> Clock:
        now_s = time.time()
        timings = {"classify": (now_s - delivery.arrived_s) * 1000}
        if answered is not None:
            queued_s = delivery.produced_s or delivery.arrived_s
            timings["queue_classify"] = max(0.0, answered.sent_s - queued_s) * 1000
            timings["classifier"] = (answered.answered_s - answered.sent_s) * 1000
        return Clock(now_s, timings)
