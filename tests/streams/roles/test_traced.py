"""Traces around a role: messages say which span they follow, and odd parts are traced whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from streams.codes import Stage
from streams.envelope import Message
from streams.events import Classification, Inspection
from streams.kafka.delivery import Delivery
from streams.ports import ClassificationRequest, Failure, InspectionRequest
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig
from streams.roles.inspect import InspectRole
from streams.roles.results import Telemetry
from streams.roles.traced import TracedClassifier, TracedExpert, TracedResults, TracedRole, Tracing
from streams.topics import ANOMALIES, DECISIONS
from streams.tracing.context import HEADER, context_of, root_of
from streams.tracing.spans import Span
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.publisher import TwinPublisher
from tests.contracts.twins.span_sink import TwinSpans
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.made import ODD, delivery, frame


@dataclass
class Asked:
    """An expert and a classifier that remember what trace they were asked under."""

    expert: TwinExpert = field(default_factory=TwinExpert)
    classifier: TwinClassifier = field(default_factory=TwinClassifier)
    traces: list[str] = field(default_factory=list)

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        self.traces += [request.trace for request in requests]
        return await self.expert.inspect(requests, timeout_s)

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        return await self.expert.warm(product_id, version, timeout_s, station)

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        self.traces += [request.trace for request in requests]
        return await self.classifier.classify(requests, timeout_s)


@dataclass
class Workers:
    """Inspect and classify over twins, traced."""

    spans: TwinSpans = field(default_factory=TwinSpans)
    publisher: TwinPublisher = field(default_factory=TwinPublisher)
    asked: Asked = field(default_factory=Asked)
    keeps_odd: bool = True

    def inspect(self) -> TracedRole:
        tracing, results = self._traced(Stage.INSPECT)
        expert = TracedExpert(self.asked, tracing)
        return tracing.around(InspectRole(expert, TwinPolicies(), results))

    def classify(self) -> TracedRole:
        tracing, results = self._traced(Stage.CLASSIFY)
        classifier = TracedClassifier(self.asked, tracing)
        return tracing.around(ClassifyRole(classifier, TwinPolicies(), results))

    def _traced(self, stage: Stage) -> tuple[Tracing, TracedResults]:
        tracing = Tracing(self.spans, stage.value, self.keeps_odd)
        telemetry = Telemetry(stage.value)
        return tracing, TracedResults(stage, self.publisher, telemetry, FlowConfig())

    def sent(self, topic: str) -> Message:
        (message,) = [m for t, m in self.publisher.sent if t == topic]
        return message


def carrying(plain: Delivery, header: bytes) -> Delivery:
    return replace(plain, headers=[*plain.headers, (HEADER, header)])


def follows(workers: Workers, message: Message, topic: str) -> Delivery:
    """The message that a worker sent, as the next one receives it."""
    return Delivery(topic, 0, 1, message.key, message.value, message.headers, produced_s=1.8e9)


@pytest.mark.asyncio
async def test_one_trace_goes_from_the_frame_to_the_decision() -> None:
    workers, shot = Workers(), frame(ODD)
    root = root_of(shot.frame_id, 1.0)
    await workers.inspect().handle(carrying(delivery(shot, ODD), str(root).encode()))
    anomaly = workers.sent(ANOMALIES.name)
    await workers.classify().handle(follows(workers, anomaly, ANOMALIES.name))
    found = workers.spans.of(shot.frame_id)
    above: list[Span] = [found["send andon.decisions"]]
    by_id = {span.context.span_id: span for span in workers.spans.spans}
    while above[-1].parent_id in by_id:
        above.append(by_id[above[-1].parent_id])
    assert [span.name for span in reversed(above)] == [
        "andon.frames on its way",
        "inspect",
        "send andon.anomalies",
        "andon.anomalies on its way",
        "classify",
        "send andon.decisions",
    ]
    assert above[-1].parent_id == root.span_id
    asked = [found["ask the expert"], found["ask the classifier"]]
    assert [span.parent_id for span in asked] == [
        found["inspect"].context.span_id,
        found["classify"].context.span_id,
    ]
    assert workers.asked.traces == [str(span.context) for span in asked]
    assert found["classify"].attributes["andon.class"] == "crack"
    assert found["classify"].attributes["andon.action"] == "scrap"
    assert context_of(workers.sent(DECISIONS.name).headers) == above[0].context


@pytest.mark.asyncio
@pytest.mark.parametrize("keeps_odd", [True, False])
async def test_of_parts_out_of_the_sample_the_odd_ones_are_kept(keeps_odd: bool) -> None:
    workers = Workers(keeps_odd=keeps_odd)
    plain, odd = frame(), frame(ODD)
    for shot, image in ((plain, b"picture"), (odd, ODD)):
        root = root_of(shot.frame_id, 0.0)
        await workers.inspect().handle(carrying(delivery(shot, image), str(root).encode()))
    assert not workers.spans.of(plain.frame_id)
    assert set(workers.spans.of(odd.frame_id)) == (
        {"andon.frames on its way", "inspect", "ask the expert", "send andon.anomalies"}
        if keeps_odd
        else set()
    )
    told = context_of(workers.sent(ANOMALIES.name).headers)
    assert (told is not None and told.is_sampled) is keeps_odd
    assert workers.asked.traces == ["", ""], "a replica is told of what is sampled from the start"


@pytest.mark.asyncio
async def test_a_part_that_is_held_is_kept() -> None:
    workers, shot = Workers(), frame(window_ms=300)
    workers.asked.expert.raises = True
    root = root_of(shot.frame_id, 0.0)
    await workers.inspect().handle(carrying(delivery(shot, b"picture"), str(root).encode()))
    found = workers.spans.of(shot.frame_id)
    assert found["inspect"].attributes["andon.source"] == "fallback"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "header",
    [b"", b"00", b"\xff" * 55, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"x" * 9999],
)
async def test_a_hostile_header_is_no_header(header: bytes) -> None:
    workers, shot = Workers(), frame(ODD)
    await workers.inspect().handle(carrying(delivery(shot, ODD), header))
    assert not workers.spans.spans
    assert context_of(workers.sent(ANOMALIES.name).headers) is None


@pytest.mark.asyncio
async def test_an_unforeseen_failure_ends_as_it_does_without_traces() -> None:
    class Broken:
        async def handle(self, delivery: Delivery) -> None:
            raise RuntimeError("unforeseen")

        async def failed(self, delivery: Delivery, error: Exception) -> None: ...
        async def close(self) -> None: ...

    spans, shot = TwinSpans(), frame()
    header = str(root_of(shot.frame_id, 1.0)).encode()
    traced = Tracing(spans, "record").around(Broken())
    with pytest.raises(RuntimeError, match="unforeseen"):
        await traced.handle(carrying(delivery(shot), header))
    assert spans.of(shot.frame_id)["record"].error == "RuntimeError"
