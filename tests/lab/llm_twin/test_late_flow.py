"""A late answer from the endpoint to the record: classify role, client, actor, VELM and twin."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer
from serving.naming.build import twin_options
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.settings import ClassifierArguments
from serving.ray.store import open_folder
from streams.codes import Action, DecisionSource, ReasonCode
from streams.events import Anomaly, Decision
from streams.ids import decision_id
from streams.ports import ClassificationTexts
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig
from streams.roles.metrics import RoleMetrics
from streams.roles.outbox import Outbox
from streams.topics import DECISIONS
from tests.contracts.twins.history_writer import TwinHistory
from tests.contracts.twins.policies import TwinPolicies, TwinPolicy
from tests.lab.llm_twin.kit import TEXTS, request
from tests.serving.ray.local import client_of
from tests.serving.ray.waiting import until
from tests.streams.roles.twins import TwinPublisher, delivery, frame

pytestmark = pytest.mark.asyncio
PRICES = {"tokens_in": 2.5, "tokens_out": 10.0}
LATENCY_MS = 1500
WINDOW_MS = 600


@dataclass(frozen=True)
class BracketPolicy(TwinPolicy):
    """The twin's policy, with classes to choose from."""

    def texts(self, station: str) -> ClassificationTexts:
        return TEXTS


class BracketPolicies(TwinPolicies):
    """The same policy for every product."""

    def for_product(self, product_id: str) -> TwinPolicy:
        return BracketPolicy(product_id)


@dataclass
class Line:
    """A classify role in front of a real actor."""

    actor: ClassifierDeployment
    publisher: TwinPublisher
    flow: FlowConfig

    def role(self) -> ClassifyRole:
        metrics = RoleMetrics("test")
        outbox = Outbox(self.publisher, metrics, self.flow, lambda *_, **__: None)
        client, _ = client_of(self.actor)
        return ClassifyRole(client, BracketPolicies(), outbox, metrics, self.flow, late=client)

    def decisions(self) -> list[Decision]:
        sent = self.publisher.of(DECISIONS.name)
        return [event for event, _ in sent if isinstance(event, Decision)]


def options(server: TwinServer) -> dict[str, Any]:
    """The actor's: VELM over ``server``, with prices."""
    return twin_options(server.base_url, prices=PRICES)


@asynccontextmanager
async def line(server: TwinServer, folder: Path, flow: dict[str, Any]) -> AsyncIterator[Line]:
    settings = ClassifierArguments(kind="velm", options=options(server))
    actor = ClassifierDeployment(settings, lambda: open_folder(folder))
    await actor.reconfigure({"exemplars": {}})
    try:
        yield Line(actor, TwinPublisher(), FlowConfig(**flow))
    finally:
        await actor.close()


def cracked(number: int = 1) -> tuple[Anomaly, bytes]:
    """An anomaly with a crack, captured now, and its picture."""
    shown = request(number=number)
    shot = frame(shown.image, window_ms=WINDOW_MS, product_id=TEXTS.product_id)
    return Anomaly(frame=shot, inspection=shown.inspection, classify=True), shown.image


def is_late_and_complete(late: Decision, sent: Anomaly) -> None:
    assert (late.source, late.is_late) == (DecisionSource.CLASSIFIER, True)
    assert late.result_id == decision_id(sent.frame.frame_id, DecisionSource.CLASSIFIER)
    assert (late.class_name, late.action) == ("crack", Action.SCRAP)
    answer = late.classification
    assert answer is not None
    assert (answer.class_name, answer.classifier, answer.model) == ("crack", "velm", "twin")
    assert answer.prompt_hash
    assert answer.tokens_in > 2 * 255
    cost = (answer.tokens_in * 2.5 + answer.tokens_out * 10) / 1e6
    assert answer.cost == pytest.approx(cost)
    assert answer.latency_ms >= LATENCY_MS


def is_a_fallback_in_time(fallback: Decision, sent: Anomaly) -> None:
    assert (fallback.source, fallback.is_late) == (DecisionSource.FALLBACK, False)
    assert (fallback.reason_code, fallback.action) == (ReasonCode.LATE, Action.HOLD)
    assert fallback.decided_at <= sent.frame.deadline


@pytest.mark.parametrize("grace_s", [0.1, 5.0])
async def test_the_fallback_first_then_a_late_decision_and_nothing_twice(
    server: TwinServer, tmp_path: Path, grace_s: float
) -> None:
    """After the grace the answer is fetched; within it, it is waited for by the call itself."""
    server.twin.behaviour = Behaviour(latency_ms=LATENCY_MS)
    flow = {"late_grace_s": grace_s, "late_poll_s": 0.05}
    async with line(server, tmp_path, flow) as at:
        sent, image = cracked()
        role = at.role()
        await role.handle(delivery(sent, image))
        is_a_fallback_in_time(at.decisions()[0], sent)
        await until(lambda: len(at.decisions()) == 2)
        is_late_and_complete(at.decisions()[1], sent)
        await role.close()

        restarted = at.role()
        await restarted.handle(delivery(sent, image))
        await restarted.close()
        assert server.twin.counters.requests == 1, "a part is asked for, and paid for, once"
        history = TwinHistory()
        await history.add_decisions(at.decisions())
        assert len(history.decisions) == 2, "the redelivery repeats both identities"


async def test_a_line_of_late_parts_is_named_afterwards(server: TwinServer, tmp_path: Path) -> None:
    server.twin.behaviour = Behaviour(latency_ms=LATENCY_MS)
    flow = {"late_grace_s": 0.1, "late_poll_s": 0.05}
    async with line(server, tmp_path, flow) as at:
        role = at.role()
        parts = [cracked(n) for n in range(1, 6)]
        await _all(role, parts)
        await until(lambda: len(at.decisions()) == 2 * len(parts))
        await role.close()
        late = {d.frame_id: d for d in at.decisions() if d.is_late}
        for sent, _ in parts:
            is_late_and_complete(late[sent.frame.frame_id], sent)
        for decision in at.decisions()[: len(parts)]:
            assert decision.source is DecisionSource.FALLBACK
        assert server.twin.counters.requests == len(parts)


async def _all(role: ClassifyRole, parts: Sequence[tuple[Anomaly, bytes]]) -> None:

    await asyncio.gather(*(role.handle(delivery(sent, image)) for sent, image in parts))
