"""A late answer from the endpoint to the record: classify role, client, ingress, actor and VELM."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.llm_twin.app import Twin
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer, twin_options
from serving.bundle_store import open_folder
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.client import ServeClassifier
from serving.ray.settings import ClassifierArguments
from streams.codes import Action, DecisionSource, ReasonCode, Stage
from streams.events import Anomaly, Decision
from streams.ports import ClassificationTexts
from streams.roles.classify import ClassifyRole
from streams.roles.config import FlowConfig
from streams.topics import DECISIONS
from tests.contracts.twins.policies import TwinPolicies, TwinPolicy
from tests.lab.llm_twin.kit import TEXTS, request
from tests.serving.ray.local import served
from tests.streams.conftest import Bench
from tests.streams.made import delivery, frame
from tests.waiting import until

LATENCY_MS = 1500


@dataclass(frozen=True)
class BracketPolicy(TwinPolicy):
    """The twin's policy, with classes to choose from."""

    def texts(self, station: str) -> ClassificationTexts:
        return TEXTS


def decisions(bench: Bench) -> list[Decision]:
    return [e for e, _ in bench.publisher.of(DECISIONS.name) if isinstance(e, Decision)]


async def classified(
    settings: ClassifierArguments, folder: Path, config: FlowConfig, window_ms: int, expected: int
) -> tuple[Anomaly, list[Decision]]:
    """One anomaly through the role and the deployment, and so many decisions of it."""
    actor = ClassifierDeployment(settings, lambda: open_folder(folder))
    await actor.reconfigure({"exemplars": {}})
    policies, shown = TwinPolicies(), request()
    policies.put(BracketPolicy(TEXTS.product_id))
    shot = frame(shown.image, window_ms=window_ms, product_id=TEXTS.product_id)
    sent = Anomaly(frame=shot, inspection=shown.inspection, classify=True)
    bench = Bench(config, Stage.CLASSIFY)
    async with served(None, actor) as address:
        client = ServeClassifier(address)
        await client.start()
        role = ClassifyRole(client, policies, bench.results)
        await role.handle(delivery(sent, shown.image))
        await until(lambda: len(decisions(bench)) == expected)
        await role.close()
        await client.close()
    await actor.close()
    return sent, decisions(bench)


@pytest.mark.asyncio
async def test_a_hanging_endpoint_leaves_the_next_one_time_before_the_fallback(
    server: TwinServer, tmp_path: Path
) -> None:
    server.twin.behaviour = Behaviour(latency_ms=30_000)
    with TwinServer(Twin()) as other:
        hanging, quick = (twin_options(s.base_url)["endpoints"] for s in (server, other))
        assert isinstance(hanging, list)
        assert isinstance(quick, list)
        options = {
            "endpoints": [{**hanging[0], "name": "hanging"}, {**quick[0], "name": "quick"}],
            "cascade": {"order": ["hanging", "quick"], "time_share": 0.3},
        }
        settings = ClassifierArguments(kind="cascade", options=options)
        _, (decision,) = await classified(settings, tmp_path, FlowConfig(), 10_000, 1)
    assert (decision.source, decision.is_late) == (DecisionSource.CLASSIFIER, False)
    assert decision.class_name == "crack"
    assert decision.classification is not None
    assert decision.classification.stages == ("hanging", "quick")


@pytest.mark.asyncio
async def test_the_fallback_first_then_a_late_decision_that_cost_one_call(
    server: TwinServer, tmp_path: Path
) -> None:
    server.twin.behaviour = Behaviour(latency_ms=LATENCY_MS)
    options = twin_options(server.base_url, prices={"tokens_in": 2.5, "tokens_out": 10.0})
    settings = ClassifierArguments(kind="velm", options=options)
    config = FlowConfig(late_grace_s=0.1)
    sent, (fallback, late) = await classified(settings, tmp_path, config, 600, 2)
    assert (fallback.source, fallback.is_late) == (DecisionSource.FALLBACK, False)
    assert (fallback.reason_code, fallback.action) == (ReasonCode.LATE, Action.HOLD)
    assert fallback.decided_at <= sent.frame.deadline
    assert (late.source, late.is_late) == (DecisionSource.CLASSIFIER, True)
    assert (late.class_name, late.action) == ("crack", Action.SCRAP)
    answer = late.classification
    assert answer is not None
    assert (answer.class_name, answer.classifier, answer.model) == ("crack", "velm", "twin")
    assert answer.cost == pytest.approx((answer.tokens_in * 2.5 + answer.tokens_out * 10) / 1e6)
    assert answer.latency_ms >= LATENCY_MS
    assert server.twin.counters.answered == 1
