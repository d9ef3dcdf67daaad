"""The classify role: anomalies to the classifier, decisions out."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from streams.codes import ReasonCode
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Anomaly, Classification, Frame
from streams.kafka.delivery import Delivery
from streams.ports import (
    AnomalyClassifier,
    ClassificationRequest,
    Failure,
    ImageStore,
    PolicySource,
)
from streams.roles.calls import (
    Answered,
    Calls,
    FallbackDue,
    InTime,
    Late,
    beside_the_loop,
    remaining_s,
)
from streams.roles.decisions import Moment, classified, fallback
from streams.roles.metrics import COST, NAMED, TOKENS
from streams.roles.pictures import fetched
from streams.roles.results import Results
from streams.roles.salvage import attributes, nested_attributes
from streams.tracing.spans import CURRENT, PART

Step = InTime[Classification] | FallbackDue | Late[Classification]
Steps = AsyncGenerator[Step, None]


@dataclass(eq=False)
class ClassifyRole:
    """Handles one anomaly at a time to its decision; many run at once.

    An anomaly is done with its decision. When that is the fallback, its call goes on in the
    background, within the bounds of ``flow``: the late answer is a second decision, which is
    recorded and changes no action.
    """

    classifier: AnomalyClassifier
    policies: PolicySource
    results: Results
    images: ImageStore | None = None

    def __post_init__(self) -> None:
        self._calls: Calls[ClassificationRequest, Classification] = Calls(
            self.classifier.classify,
            self.results.flow,
            ReasonCode.CLASSIFIER_UNAVAILABLE,
            late_s=self.results.flow.late_age_s,
        )
        self._late: dict[UUID, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Give up what is under way; answers still to come are lost."""
        late = list(self._late.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._calls.close()

    async def handle(self, delivery: Delivery) -> None:
        """One anomaly: returns once its decision is at the broker."""
        try:
            anomaly = from_message(Anomaly, delivery.value, delivery.headers)
        except EventError as error:
            await self._unreadable(delivery, error, ReasonCode.MALFORMED_EVENT)
            return
        frame = anomaly.frame
        if not anomaly.classify or frame.frame_id in self._late:  # delivered again: decided
            return
        PART.set(frame)
        sent_at = anomaly.inspected_at or frame.captured_at
        self.results.heard(frame, sent_at.timestamp(), delivery)
        due_s = await self.results.due_s(frame)
        image: bytes | Failure = delivery.value
        if frame.dataref is not None:
            image = await fetched(frame, self.images, remaining_s(due_s))
        policy = self.policies.for_product(frame.product_id)
        if isinstance(image, Failure):
            decide = partial(classified, anomaly, image, policy, self._moment(anomaly, delivery))
            reaction = await beside_the_loop([anomaly.inspection], decide)
            await self.results.reaction(delivery, frame.frame_id, reaction)
            return
        request = ClassificationRequest(
            frame_id=frame.frame_id,
            image=image,
            inspection=anomaly.inspection,
            texts=policy.texts(frame.station),
            deadline=datetime.now(UTC) + timedelta(seconds=remaining_s(due_s)),
            trace=str(CURRENT.get() or ""),
        )
        async with AsyncExitStack() as stack:
            asked = self._calls.ask(request, due_s, len(image), frame.line)
            steps = await stack.enter_async_context(aclosing(asked))
            step = await anext(steps)
            if isinstance(step, FallbackDue):
                self.results.telemetry.answered("classifier", step.failure)
                policy = self.policies.for_product(frame.product_id)
                said = self.results.in_words(step.failure, frame)
                moment = self._moment(anomaly, delivery)
                decided = partial(fallback, anomaly, said, policy, moment)
                await self.results.decision(await beside_the_loop([anomaly.inspection], decided))
                waiting = self._late_answer(anomaly, delivery, steps, stack.pop_all())
                task = self._late[frame.frame_id] = asyncio.create_task(waiting)
                task.add_done_callback(lambda _: self._late.pop(frame.frame_id))
            else:
                await self._answered(anomaly, delivery, step)

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """Something unforeseen: the fallback if the part can be read, and a dead letter."""
        await self._unreadable(delivery, error, ReasonCode.NO_DECISION)

    async def _late_answer(
        self, anomaly: Anomaly, delivery: Delivery, steps: Steps, closing: AsyncExitStack
    ) -> None:
        try:
            async with closing:
                async for step in steps:
                    await self._answered(anomaly, delivery, step)
        except Exception as error:  # noqa: BLE001 - the part is decided, nobody waits
            self.results.telemetry.log("late answer lost", error=f"{type(error).__name__}: {error}")

    async def _answered(self, anomaly: Anomaly, delivery: Delivery, step: Step) -> None:
        if isinstance(step, FallbackDue):
            return
        moment = self._moment(anomaly, delivery, step.answered)
        self.results.telemetry.stages(moment.timings_ms)
        policy = self.policies.for_product(anomaly.frame.product_id)
        late, answer = isinstance(step, Late), step.answered.answer
        if not isinstance(answer, Failure):
            self._count(anomaly.frame, answer)
        if not late:
            failure = answer if isinstance(answer, Failure) else None
            self.results.telemetry.answered("classifier", failure)
        decide = partial(classified, anomaly, answer, policy, moment, late)
        reaction = await beside_the_loop([anomaly.inspection], decide)
        await self.results.reaction(delivery, anomaly.frame.frame_id, reaction)

    def _count(self, frame: Frame, said: Classification) -> None:
        """An answer, in time or late: either is paid for."""
        telemetry, product = self.results.telemetry, frame.product_id
        answer = said.class_name if said.class_name in ("normal", "unknown") else "class"
        telemetry.count(NAMED, frame.line, product, said.classifier, answer)
        for direction, tokens in (("in", said.tokens_in), ("out", said.tokens_out)):
            if tokens > 0:
                telemetry.count(TOKENS, product, said.model, direction, by=tokens)
        if said.tokens_in or said.tokens_out:  # 0 without a price list: a curve, not a gap
            telemetry.count(COST, product, said.model, by=said.cost)

    async def _unreadable(self, delivery: Delivery, error: Exception, code: ReasonCode) -> None:
        outer = attributes(delivery.headers)
        fields = nested_attributes(outer.get("frame", ""))
        policies = None if outer.get("classify") == "false" else self.policies
        await self.results.unreadable(delivery, fields, error, code, policies)

    def _moment(
        self, anomaly: Anomaly, delivery: Delivery, answered: Answered[Classification] | None = None
    ) -> Moment:
        clocks, station = self.results.clocks, anomaly.frame.key
        timings = {"classify": (time.monotonic() - delivery.arrived_s) * 1000}
        if answered is not None:
            waited_s = answered.sent_s - delivery.arrived_s
            if anomaly.inspected_at is not None:
                sent_s = clocks.at_s(station, answered.sent_s)
                waited_s = sent_s - anomaly.inspected_at.timestamp()
            timings["queue_classify"] = max(0.0, waited_s) * 1000
            timings["classifier"] = (answered.answered_s - answered.sent_s) * 1000
        return self.results.moment(station, timings)
