"""The classifier's actor, without Ray."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from serving.bundle_store import open_folder
from serving.errors import ServeConfigError
from serving.ray.classifier_deployment import COUNTED, ClassifierDeployment
from serving.ray.settings import ClassifierArguments
from serving.ray.wire import pack_requests, unpack_classifications
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, ClassificationTexts, Failure
from tests.serving.ray.tiny import CLASSIFIER, TinyClassifier, save_tiny
from tests.waiting import until

TEXTS = ClassificationTexts("tile", "hash")
ODD = Inspection(score=2, threshold=1, p_value=0.01, anomalous=True, expert_version="v")


def request(image: bytes) -> ClassificationRequest:
    return ClassificationRequest(uuid4(), image, ODD, TEXTS, datetime.now(UTC))


def make(tmp_path: Path, delay_s: float = 0.0, concurrency: int = 8) -> ClassifierDeployment:
    settings = ClassifierArguments(
        kind=CLASSIFIER, options={"delay_s": delay_s}, concurrency=concurrency
    )
    return ClassifierDeployment(settings, lambda: open_folder(tmp_path))


@pytest_asyncio.fixture
async def actor(tmp_path: Path) -> AsyncIterator[ClassifierDeployment]:
    made = make(tmp_path)
    await made.reconfigure(None)
    yield made
    await made.close()


async def _ask(
    actor: ClassifierDeployment, *images: bytes, timeout_s: float = 5.0
) -> list[Classification | Failure]:
    body = await actor.classify_many(pack_requests([request(i) for i in images]), timeout_s)
    return unpack_classifications(body)


@pytest.mark.asyncio
async def test_answers_failures_and_defects_of_the_classifier_keep_their_places(
    actor: ClassifierDeployment,
) -> None:
    named, refused, broken, last = await _ask(actor, b"1", b"refuse", b"break", b"2")
    assert isinstance(named, Classification)
    assert isinstance(last, Classification)
    assert isinstance(refused, Failure)
    assert refused.error_type == "Refused"
    assert isinstance(broken, Failure)
    assert (broken.reason_code, broken.retryable) == (ReasonCode.CLASSIFIER_UNAVAILABLE, True)


@pytest.mark.asyncio
async def test_time_spent_waiting_for_a_slot_counts(tmp_path: Path) -> None:
    slow = make(tmp_path, delay_s=0.15, concurrency=1)
    await slow.reconfigure({"exemplars": {}})
    answers = await _ask(slow, b"1", b"2", timeout_s=0.2)
    assert isinstance(answers[0], Classification)
    assert isinstance(answers[1], Failure)
    assert answers[1].reason_code is ReasonCode.LATE
    await slow.close()


@pytest.mark.asyncio
async def test_a_classifier_that_uses_all_its_time_still_says_what_it_has(
    actor: ClassifierDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cascade holds an unsure answer and one of three calls hangs: neither is lost with it."""

    async def at_the_end(self: object, asked: ClassificationRequest, timeout_s: float) -> Failure:
        await asyncio.sleep(timeout_s)
        return Failure(ReasonCode.LATE, "late", "the endpoint took all of it")

    monkeypatch.setattr(TinyClassifier, "classify", at_the_end)
    (failed,) = await _ask(actor, b"1", timeout_s=2.0)
    assert isinstance(failed, Failure)
    assert failed.message == "the endpoint took all of it"


@pytest.mark.asyncio
async def test_new_exemplars_take_over_and_requests_under_way_finish_with_the_old(
    tmp_path: Path,
) -> None:
    one, two = (save_tiny(tmp_path, "tile", note=n) for n in "12")
    actor = make(tmp_path, delay_s=0.1)
    await actor.reconfigure({"exemplars": {"tile": one}})
    under_way = asyncio.create_task(_ask(actor, b"1", b"2"))
    await until(lambda: actor._stage is not None and actor._stage.users == 2)
    await actor.reconfigure({"exemplars": {"tile": two}})
    old, new = await under_way, await _ask(actor, b"3")
    assert [a.exemplars_version for a in old if isinstance(a, Classification)] == [one, one]
    assert [a.exemplars_version for a in new if isinstance(a, Classification)] == [two]
    await actor.close()


@pytest.mark.asyncio
async def test_a_bad_configuration_is_an_error_at_first_and_a_problem_later(
    tmp_path: Path,
) -> None:
    one = save_tiny(tmp_path, "tile")
    actor = make(tmp_path)
    with pytest.raises(ServeConfigError, match="not in the store"):
        await actor.reconfigure({"exemplars": {"tile": "0" * 64}})
    with pytest.raises(RuntimeError, match="not configured"):
        await actor.check_health()
    await actor.reconfigure({"exemplars": {"tile": one}})
    await actor.reconfigure({"examples": {}})
    (answer,) = await _ask(actor, b"1")
    assert isinstance(answer, Classification)
    assert answer.exemplars_version == one
    assert "Extra inputs" in str((await actor.status())["problems"])
    await actor.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("prototype", "none of prototypes, velm, cascade"), ("tests.nowhere:x", "cannot be imported")],
)
@pytest.mark.asyncio
async def test_an_unknown_classifier_is_named(tmp_path: Path, kind: str, words: str) -> None:
    actor = ClassifierDeployment(ClassifierArguments(kind=kind), lambda: open_folder(tmp_path))
    with pytest.raises(ServeConfigError, match=words):
        await actor.reconfigure({"exemplars": {}})


@pytest.mark.asyncio
async def test_replicas_count_each_other_and_share_what_an_endpoint_may_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more has its share at once; one that is started anew takes none meanwhile."""
    counts, built = [2], []

    def build(*_: object) -> TinyClassifier:
        built.append(_[-1])
        return TinyClassifier(0.0, {})

    monkeypatch.setattr("serving.ray.classifier_deployment.build_classifier", build)
    settings = ClassifierArguments(kind="velm", follow_s=3600)
    actor = ClassifierDeployment(settings, lambda: open_folder(tmp_path), count=lambda: counts[-1])
    await actor.reconfigure({"exemplars": "latest"})
    for found, sharing in ((3, 3), (2, 3), *[(2, 3)] * (COUNTED - 2), (2, 2)):
        counts.append(found)
        await actor._follow()
        assert (await actor.status())["sharing"] == sharing
    assert built == [2, 3, 2]

    def away() -> int:
        raise RuntimeError("the controller is away")

    monkeypatch.setattr(actor, "_count", away)
    await actor._follow()
    assert (await actor.status())["sharing"] == 2
    await actor.close()


@pytest.mark.asyncio
async def test_a_classifier_that_asks_no_endpoint_is_not_built_anew_for_another_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, built = [1, 2], []

    def build(*_: object) -> TinyClassifier:
        built.append(_[-1])
        return TinyClassifier(0.0, {})

    monkeypatch.setattr("serving.ray.classifier_deployment.build_classifier", build)
    settings = ClassifierArguments(kind="prototypes", follow_s=3600)
    actor = ClassifierDeployment(settings, lambda: open_folder(tmp_path), count=counts.pop)
    await actor.reconfigure({"exemplars": "latest"})
    await actor._follow()
    assert built == [1]
    await actor.close()
