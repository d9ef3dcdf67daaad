"""The contract of ``AnomalyClassifier``: the twin, the client over an ingress, and over Ray."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from infra.stack.process import free_port
from serving.bundle_store import open_folder
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.client import ServeClassifier
from serving.ray.settings import ClassifierArguments
from streams.codes import ReasonCode
from streams.events import Classification
from streams.ports import AnomalyClassifier, ClassificationRequest, ClassificationTexts, Failure
from tests.contracts.twins.anomaly_classifier import TwinClassifier
from tests.serving.ray.conftest import Cluster
from tests.serving.ray.local import served, started
from tests.serving.ray.tiny import CLASSIFIER
from tests.streams.made import inspection

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]


def asked() -> ClassificationRequest:
    texts, due = ClassificationTexts("tile", "hash"), datetime.now(UTC) + timedelta(seconds=60)
    return ClassificationRequest(uuid4(), b"picture", inspection(True), texts, due)


@asynccontextmanager
async def subject(
    kind: str, request: pytest.FixtureRequest, folder: Path
) -> AsyncIterator[AnomalyClassifier]:
    if kind == "twin":
        yield TwinClassifier()
    elif kind == "ray":
        cluster: Cluster = request.getfixturevalue("cluster")
        async with started(ServeClassifier(cluster.ingress, cluster.ray.token_file)) as classifier:
            yield classifier
    else:
        actor = ClassifierDeployment(
            ClassifierArguments(kind=CLASSIFIER), lambda: open_folder(folder)
        )
        await actor.reconfigure({"exemplars": {}})
        async with served(None, actor) as address, started(ServeClassifier(address)) as classifier:
            yield classifier
        await actor.close()


@pytest.mark.parametrize("kind", ["twin", "ingress", pytest.param("ray", marks=pytest.mark.slow)])
async def test_one_answer_for_each_request(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with subject(kind, request, tmp_path) as classifier:
        assert isinstance(classifier, AnomalyClassifier)
        answers = await classifier.classify([asked() for _ in range(5)], 60)
        named = [a for a in answers if isinstance(a, Classification)]
        assert len(named) == 5
        assert all(a.class_name and a.classifier and 0 <= a.confidence <= 1 for a in named)
        assert list(await classifier.classify([], 1)) == []


@pytest.mark.parametrize("kind", ["twin", "client"])
async def test_one_that_is_away_fails_each_request_and_may_be_asked_again(kind: str) -> None:
    async with started(ServeClassifier(f"127.0.0.1:{free_port()}")) as client:
        classifier: AnomalyClassifier = TwinClassifier(down=True) if kind == "twin" else client
        answers = await classifier.classify([asked() for _ in range(3)], 0.3)
    failures = [a for a in answers if isinstance(a, Failure)]
    assert len(failures) == 3
    assert {f.reason_code for f in failures} == {ReasonCode.CLASSIFIER_UNAVAILABLE}
    assert all(f.retryable for f in failures)
