"""What an actor keeps of late calls; the contract of ``LateAnswers`` over client and twin."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.late import LateStore
from serving.ray.settings import ClassifierArguments
from serving.ray.store import open_folder
from streams.events import Classification
from streams.ports import Asked, LateAnswers
from tests.serving.ray.local import client_of
from tests.serving.ray.tiny import CLASSIFIER
from tests.streams.roles.twins import TwinClassifier


def asked(number: int, policy: str = "p") -> Asked:
    return Asked(UUID(int=number), policy)


def named(class_name: str) -> Classification:
    return Classification(
        class_name=class_name, confidence=0.9, classifier="velm", tokens_in=700, cost=0.25
    )


def test_the_first_late_answer_is_kept_and_the_oldest_dropped() -> None:
    now = [0.0]
    store = LateStore(most=2, age_s=10, clock=lambda: now[0])
    for number, name in [(1, "crack"), (1, "pore"), (2, "crack"), (3, "pore")]:
        store.goes_on(asked(number))
        store.ended(asked(number), named(name))
    assert list(store.find(map(asked, range(5)))) == [asked(2), asked(3)]
    store.goes_on(asked(3))
    store.ended(asked(3), named("crack"))
    assert store.find([asked(3)])[asked(3)].class_name == "pore"
    assert store.find([asked(3, "another policy")]) == {}
    now[0] = 10.5
    assert len(store) == 0


@pytest.mark.asyncio
async def test_a_call_under_way_is_waited_for_until_its_last_one_ends() -> None:
    store = LateStore(most=2, age_s=10)
    assert await store.wait(asked(1)) is None
    for _ in range(2):
        store.goes_on(asked(1))
    waiting = asyncio.create_task(store.wait(asked(1)))
    await asyncio.sleep(0)
    store.ended(asked(1), None)
    await asyncio.sleep(0)
    assert not waiting.done()
    store.ended(asked(1), named("crack"))
    assert await waiting == named("crack")
    store.goes_on(asked(2))
    hopeless = asyncio.create_task(store.wait(asked(2)))
    await asyncio.sleep(0)
    store.ended(asked(2), None)
    assert await hopeless is None


Make = Callable[[bool, dict[Asked, Classification]], LateAnswers]


@pytest.fixture(params=["twin", "client"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A classifier that answers late, or never does, with what it has answered so far."""

    def twin(answers_late: bool, kept: dict[Asked, Classification]) -> LateAnswers:
        return TwinClassifier(answers_late=answers_late, late=kept)

    def client(answers_late: bool, kept: dict[Asked, Classification]) -> LateAnswers:
        settings = ClassifierArguments(kind="velm" if answers_late else CLASSIFIER)
        actor = ClassifierDeployment(settings, lambda: open_folder(tmp_path))
        for question, answer in kept.items():
            actor._late.goes_on(question)
            actor._late.ended(question, answer)
        return client_of(actor)[0]

    return twin if request.param == "twin" else client


@pytest.mark.asyncio
async def test_contract_only_what_was_asked_and_answered_and_again(make: Make) -> None:
    source = make(True, {asked(1): named("crack"), asked(2): named("pore")})
    assert isinstance(source, LateAnswers)
    for _ in range(2):
        found = await source.late_answers([asked(1), asked(3), asked(2, "other")], 1.0)
        assert found == {asked(1): named("crack")}
    assert await source.late_answers([], 1.0) == {}


@pytest.mark.asyncio
async def test_contract_a_classifier_that_never_answers_late_says_so(make: Make) -> None:
    assert await make(False, {}).late_answers([asked(1)], 1.0) is None


@pytest.mark.asyncio
async def test_without_the_cluster_nothing_was_answered_yet(tmp_path: Path) -> None:
    settings = ClassifierArguments(kind="velm")
    client, channel = client_of(ClassifierDeployment(settings, lambda: open_folder(tmp_path)))
    channel.down = True
    assert await client.late_answers([asked(1)], 1.0) == {}
