"""The contract of ``serving.naming.base.Classifier``: every stage that the line runs keeps it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lab.llm_twin.app import Twin
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer, twin_options
from prompts.names import RESERVED, UNKNOWN
from serving.naming.base import Classifier
from serving.naming.build import build_classifier
from serving.naming.teaching import Lesson, teach_product
from streams.codes import ReasonCode
from streams.events import Classification
from streams.ports import ClassText, Failure
from tests.lab.llm_twin.kit import request
from tests.serving.naming.pictures import KINDS, plate, png, spoiled

PRODUCT = "plate"
CLASSES = tuple(ClassText(kind, kind, "") for kind in KINDS)
pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One drawn example of each kind, and normal pictures."""
    lessons = [
        Lesson(kind, png(image), mask) for kind in KINDS for image, mask in [spoiled(kind, 0)]
    ]
    normals = [png(plate(i)) for i in range(4)]
    return teach_product(tmp_path_factory.mktemp("bundles"), PRODUCT, lessons, normals=normals)


@pytest_asyncio.fixture(params=["prototypes", "velm", "cascade"])
async def stage(request: pytest.FixtureRequest, bundle: Path) -> AsyncIterator[Classifier]:
    """Started, over a language model's twin where it asks one."""
    twin = Twin()
    twin.behaviour = Behaviour(latency_ms=200)
    with TwinServer(twin) as server:
        options = {} if request.param == "prototypes" else twin_options(server.base_url)
        made = build_classifier(request.param, options, {PRODUCT: bundle})
        assert isinstance(made, Classifier)
        assert made.name == request.param
        await made.start()
        yield made
        await made.close()


async def test_the_answer_is_a_class_of_the_policy_or_reserved(stage: Classifier) -> None:
    pictures = [spoiled(kind, seed) for kind in KINDS for seed in (5, 6)]
    asked = [request(*p, classes=CLASSES, product_id=PRODUCT) for p in pictures]
    answers = await asyncio.gather(*(stage.classify(one, 60) for one in asked))
    for answer in answers:
        assert isinstance(answer, Classification)
        assert answer.class_name in (*KINDS, *RESERVED)
        assert 0 <= answer.confidence <= 1
        assert answer.classifier == stage.name
        assert answer.latency_ms > 0
        assert bool(answer.unknown_reason) == (answer.class_name == UNKNOWN)


async def test_a_policy_without_classes_leaves_unknown(stage: Classifier) -> None:
    image, mask = spoiled("hole", 7)
    answer = await stage.classify(request(image, mask, classes=(), product_id=PRODUCT), 60)
    assert isinstance(answer, Classification)
    assert answer.class_name == UNKNOWN
    assert answer.unknown_reason


async def test_what_is_no_picture_is_a_failure_that_is_not_asked_again(stage: Classifier) -> None:
    broken = request(b"no picture", classes=CLASSES, product_id=PRODUCT)
    answer = await stage.classify(broken, 60)
    assert isinstance(answer, Failure)
    assert answer.reason_code is ReasonCode.UNDECODABLE_IMAGE
    assert not answer.retryable


async def test_too_little_time_is_late_and_close_ends_what_goes_on(stage: Classifier) -> None:
    image, mask = spoiled("line", 8)
    answer = await stage.classify(request(image, mask, classes=CLASSES, product_id=PRODUCT), 0.001)
    assert isinstance(answer, Failure)
    assert answer.reason_code is ReasonCode.LATE
    await stage.close()
