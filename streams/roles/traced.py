"""Traces around a role: what it does for a message, whom it asks and what it sends become spans.

They stand around the ports, and only where something is traced: a role knows nothing of them but
the work that its requests name. A message without a ``traceparent`` that can be read is handled
as if there were no traces.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar
from uuid import UUID

from streams.envelope import Message
from streams.events import Classification, Decision, Inspection
from streams.kafka.delivery import Delivery
from streams.kafka.spans import on_its_way, sending
from streams.ports import (
    AnomalyClassifier,
    ClassificationRequest,
    Failure,
    InspectionRequest,
    VisionExpert,
)
from streams.roles.decisions import Reaction
from streams.roles.results import Results
from streams.tracing.context import context_of, read_traceparent
from streams.tracing.spans import (
    CURRENT,
    Attribute,
    Span,
    SpanKind,
    SpanSink,
    Work,
)
from streams.tracing.words import is_asked_about, words_of_decision, words_of_part

FIND_OUT: Final = frozenset({"inspect", "classify", "join"})
"""The roles that find out which parts are odd; the others learn it from what is sent to them."""
Q = TypeVar("Q", InspectionRequest, ClassificationRequest)
A = TypeVar("A", Inspection, Classification)


class TracedHandler(Protocol):
    """A role, as what stands around it needs it."""

    async def handle(self, delivery: Delivery) -> None: ...
    async def failed(self, delivery: Delivery, error: Exception) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True)
class Tracing:
    """What is traced of one role."""

    sink: SpanSink
    role: str
    keeps_odd: bool = True
    works: dict[int, Work] = field(default_factory=dict)
    """By the id of its span: what is being worked on."""

    def around(self, role: TracedHandler) -> "TracedRole":
        """The role, traced."""
        return TracedRole(role, self)


@dataclass(frozen=True)
class TracedRole:
    """A role whose handling of each message is a span."""

    role: TracedHandler
    tracing: Tracing

    async def handle(self, delivery: Delivery) -> None:
        """As the role does."""
        work = self._begun(delivery)
        if work is None:
            await self.role.handle(delivery)
            return
        works, span_id = self.tracing.works, work.context.span_id
        token, works[span_id] = CURRENT.set(work), work
        try:
            await self.role.handle(delivery)
        except BaseException as error:
            work.error = type(error).__name__
            raise
        finally:
            CURRENT.reset(token)
            del works[span_id]
            work.end()

    async def failed(self, delivery: Delivery, error: Exception) -> None:
        """As the role does."""
        await self.role.failed(delivery, error)

    async def close(self) -> None:
        """As the role does."""
        await self.role.close()

    def _begun(self, delivery: Delivery) -> Work | None:
        """What there is to trace of a message: its way through Kafka, and what is done for it."""
        sender, own = context_of(delivery.headers), self.tracing
        finds_out = own.keeps_odd and own.role in FIND_OUT
        if sender is None or not (sender.is_sampled or finds_out):
            return None
        way = on_its_way(sender, delivery)
        work = Work(way.context, own.role, own.sink, finds_out, began_s=way.ended_s)
        work.add(way)
        return work


class TracedResults(Results):
    """Results whose messages say which span they follow."""

    async def decision(self, decision: Decision) -> None:
        """As ``Results`` does; the part of a decision that is asked about is traced."""
        work = CURRENT.get()
        if work is not None:
            work.attributes |= words_of_part(decision) | words_of_decision(decision)
            if is_asked_about(decision):
                work.is_odd()
        await super().decision(decision)

    async def reaction(self, delivery: Delivery, frame_id: UUID, reaction: Reaction) -> None:
        """As ``Results`` does; a part that the expert found odd is traced."""
        work, anomaly = CURRENT.get(), reaction.anomaly
        if work is not None and anomaly is not None:
            work.attributes |= words_of_part(anomaly.frame)
            if anomaly.inspection.anomalous:
                work.is_odd()
        await super().reaction(delivery, frame_id, reaction)

    async def send(self, topic: str, message: Message) -> None:
        """As ``Results`` does, with the header."""
        work = CURRENT.get()
        if work is None:
            await super().send(topic, message)
            return
        own, began_s = work.context.child(), time.time()
        headers = (*message.headers, own.header)
        await super().send(topic, replace(message, headers=headers))
        work.add(sending(own, work.context.span_id, topic, began_s))


@dataclass(frozen=True)
class TracedExpert:
    """A vision expert whose answers are spans."""

    expert: VisionExpert
    tracing: Tracing

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        """As the expert does."""
        ask = self.expert.inspect
        return await _asked(self.tracing, "ask the expert", ask, requests, timeout_s)

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        """As the expert does."""
        return await self.expert.warm(product_id, version, timeout_s, station)


@dataclass(frozen=True)
class TracedClassifier:
    """A classifier whose answers are spans."""

    classifier: AnomalyClassifier
    tracing: Tracing

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        """As the classifier does."""
        ask = self.classifier.classify
        return await _asked(self.tracing, "ask the classifier", ask, requests, timeout_s)


async def _asked(
    tracing: Tracing,
    name: str,
    ask: Callable[[Sequence[Q], float], Awaitable[Sequence[A | Failure]]],
    requests: Sequence[Q],
    timeout_s: float,
) -> Sequence[A | Failure]:
    """One call: a span for each part in it, which whoever answers is told of."""
    above = [read_traceparent(request.trace) for request in requests]
    own = [None if context is None else context.child() for context in above]
    sent = [
        replace(request, trace="" if context is None or not context.is_sampled else str(context))
        if request.trace
        else request
        for request, context in zip(requests, own, strict=True)
    ]
    began_s = time.time()
    answers = await ask(sent, timeout_s)
    ended_s = max(time.time(), began_s)
    for parent, context, answer in zip(above, own, answers, strict=False):
        if parent is None or context is None:
            continue
        said, error = _words_of_answer(answer)
        said["andon.parts_in_call"] = len(requests)
        client = SpanKind.CLIENT
        asked = Span(context, parent.span_id, name, began_s, ended_s, client, said, error)
        work = tracing.works.get(parent.span_id)
        if work is not None:
            work.add(asked)
        elif parent.is_sampled:  # its part was decided meanwhile
            tracing.sink.tell([asked])
    return answers


def _words_of_answer(
    answer: Inspection | Classification | Failure,
) -> tuple[dict[str, Attribute], str]:
    match answer:
        case Failure():
            return {"andon.reason": answer.reason_code.name}, answer.error_type or "Failure"
        case Inspection():
            said: dict[str, Attribute] = {
                "andon.expert": answer.expert_name,
                "andon.expert_version": answer.expert_version,
                "andon.score": answer.score,
                "andon.anomalous": answer.anomalous,
            }
            return said | {f"andon.{n}_ms": ms for n, ms in answer.timings_ms.items()}, ""
    return {
        "andon.classifier": answer.classifier,
        "andon.class": answer.class_name,
        "andon.confidence": answer.confidence,
    }, ""
