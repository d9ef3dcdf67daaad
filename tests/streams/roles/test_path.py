"""Following a frame: the modules that run between the poll of an anomalous frame and its
acknowledgement, in workers with real adapters. ``docs/architecture.md`` walks the same way."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import grpc
import pytest

import streams.roles.runner
from infra.stack.broker import Broker
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument
from policies.publish import publish
from policies.source import KafkaPolicySource
from serving.ray.client import ServeClassifier, ServeVisionExpert
from serving.ray.wire import CLASSIFY, SCORE, SERVICE, pack_classifications, pack_inspections
from streams.envelope import Message, to_message
from streams.events import Anomaly, Classification
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_adapter import BoundedConsumerThread
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.ports import PolicySource
from streams.roles.classify import ClassifyRole
from streams.roles.inspect import InspectRole
from streams.roles.runner import RoleRunner
from streams.topics import ANOMALIES, DECISIONS, FRAMES, Topic
from tests.streams.made import ODD, frame, inspection
from tests.streams.roles.line import config, producer, reading, running, send
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[3]
MOST = 14
pytestmark = pytest.mark.usefixtures("alone")
FLOW = [
    "streams/kafka/intake.py",  # gate, one task per event, acknowledged in order; the producer
    "streams/envelope.py",  # record to event, and back
    "streams/events.py",
    "streams/roles/calls.py",  # batches, deadlines, the one retry loop
    "streams/roles/turns.py",  # who is next: each line in turn
    "streams/roles/clocks.py",  # what time it is at the gateway; how long the newest message waited
    "serving/ray/client.py",
    "serving/ray/wire.py",
    "streams/roles/results.py",  # published, until the broker has it; counted
]
INSPECT = [
    *FLOW,
    "streams/roles/queues.py",  # what the replica's answers say of its queue
    "streams/roles/inspect.py",
    "streams/roles/inspected.py",  # what becomes of it: pure
]
CLASSIFY_ROLE = [
    *FLOW,
    "streams/roles/classify.py",
    "streams/roles/decisions.py",  # what becomes of it: pure
]
POLICY = [
    "policies/source.py",
    "policies/evaluate.py",
    "policies/reasons.py",
]
"""The policy in force: classify asks it for its texts, and for the decision."""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker does now and then beside the frames runs in the same thread."""
    monkeypatch.setattr(streams.roles.runner, "ASK_EVERY_S", 3600.0)
    monkeypatch.setattr(BoundedConsumerThread, "verify_event_path", lambda *_: None)


class Trace:
    """The product modules whose code ran in this thread while the trace was on."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(REPOSITORY):
            name = str(path.relative_to(REPOSITORY))
            if not name.startswith(("tests/", ".")):
                self.modules.add(name)

    @contextmanager
    def on(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


@contextmanager
def serving() -> Iterator[str]:
    """An ingress that finds every frame odd and names every anomaly, in threads of its own."""
    named = Classification(class_name="crack", confidence=0.9, classifier="test")
    answers = {
        SCORE: pack_inspections([inspection(True)]),
        CLASSIFY: pack_classifications([named]),
    }
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(lambda _, __, body=body: body)
        for method, body in answers.items()
    }
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


async def in_force(connection: KafkaConnection) -> PolicySource:
    """The policies of a broker on which one for ``tile`` was published, no longer followed."""
    body = {"product": "tile", "classes": {"crack": {"severity": "defect", "action": "scrap"}}}
    publisher, policies = KafkaPublisher(connection), KafkaPolicySource(connection)
    policy = ResolvedPolicy(PolicyDocument.model_validate(body))
    await publish(policy, publisher, "a test", "a test")
    await publisher.stop()
    await policies.start()
    await policies.stop()
    return policies


async def traced(
    runner: RoleRunner,
    servers: str,
    sent: tuple[Topic, Callable[[], Message]],
    seen: Callable[[], list[object]],
) -> set[str]:
    """The second of two events: the first fills caches."""
    trace = Trace()
    async with producer(servers) as via:
        for count in (1, 2):
            message = sent[1]()
            trace.modules.clear()
            with trace.on():
                await send(via, sent[0], message)
                await until(lambda count=count: len(seen()) == count, 20)  # type: ignore[misc]
                await until(lambda: not runner._intake.in_flight)
    return trace.modules


@pytest.mark.asyncio
async def test_the_inspect_worker(fresh_broker: Broker, tmp_path: Path) -> None:
    servers = fresh_broker.bootstrap_servers
    connection = KafkaConnection(servers)
    await ensure_topics(connection)
    policies = await in_force(connection)
    settings = config("inspect", servers, tmp_path)
    with serving() as address:
        expert = ServeVisionExpert(address)
        await expert.start()
        async with (
            reading(servers, ANOMALIES) as seen,
            running(
                settings,
                [FRAMES],
                lambda r: InspectRole(expert, policies, r),
            ) as runner,
        ):
            shot = lambda: to_message(frame(ODD, window_ms=20_000), ODD)  # noqa: E731
            modules = await traced(runner, servers, (FRAMES, shot), lambda: seen.of(ANOMALIES))
        await expert.close()
    assert modules == set(INSPECT)
    assert len(INSPECT) <= MOST


@pytest.mark.asyncio
async def test_the_classify_worker(fresh_broker: Broker, tmp_path: Path) -> None:
    servers = fresh_broker.bootstrap_servers
    connection = KafkaConnection(servers)
    await ensure_topics(connection)
    policies = await in_force(connection)
    settings = config("classify", servers, tmp_path)
    with serving() as address:
        classifier = ServeClassifier(address)
        await classifier.start()
        async with (
            reading(servers, DECISIONS) as seen,
            running(
                settings,
                [ANOMALIES],
                lambda r: ClassifyRole(classifier, policies, r),
            ) as runner,
        ):

            def odd() -> Message:
                shot = frame(ODD, window_ms=20_000)
                return to_message(Anomaly(frame=shot, inspection=inspection(True)), ODD)

            modules = await traced(runner, servers, (ANOMALIES, odd), lambda: seen.of(DECISIONS))
        await classifier.close()
    assert modules == {*CLASSIFY_ROLE, *POLICY}
    assert len(CLASSIFY_ROLE) + len(POLICY) <= MOST
