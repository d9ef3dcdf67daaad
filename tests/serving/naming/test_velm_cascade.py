"""The cascade: who is asked, whose answer stands, what happens when a stage is down."""

import asyncio
from dataclasses import dataclass, field

import pytest

from serving.naming.base import UNKNOWN, Classifier
from serving.naming.cascade import CascadeClassifier, CascadeStage
from serving.naming.settings import CascadeSettings
from streams.codes import ReasonCode
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure
from tests.lab.llm_twin.kit import request

DOWN = Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "unreachable", "nobody there", retryable=True)


@dataclass
class Fixed:
    """A stage that always says the same."""

    name: str
    answer: Classification | Failure
    takes_s: float = 0.0
    given: list[float] = field(default_factory=list)
    is_open: bool = False

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        self.given.append(timeout_s)
        if self.takes_s > timeout_s:
            return Failure(ReasonCode.LATE, "late", "too slow")
        await asyncio.sleep(self.takes_s)
        return self.answer

    async def start(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


def says(name: str, confidence: float, cost: float = 0.0) -> Classification:
    return Classification(
        class_name=name,
        confidence=confidence,
        classifier="stage",
        model="m",
        cost=cost,
        tokens_in=10,
        unknown_reason="open set" if name == UNKNOWN else "",
        candidates={name: confidence},
    )


def cascade(*stages: tuple[Fixed, float], **settings: object) -> CascadeClassifier:
    return CascadeClassifier(
        [CascadeStage(c, t) for c, t in stages], CascadeSettings.model_validate(settings)
    )


async def ask(chain: CascadeClassifier, timeout_s: float = 10.0) -> Classification | Failure:
    assert isinstance(chain, Classifier)
    return await chain.classify(request(), timeout_s)


@pytest.mark.asyncio
async def test_a_sure_local_answer_saves_the_call() -> None:
    local, llm = Fixed("local", says("crack", 0.95)), Fixed("llm", says("pore", 0.9))
    answer = await ask(cascade((local, 0.9), (llm, 0.0)))
    assert isinstance(answer, Classification)
    assert (answer.class_name, answer.stages) == ("crack", ("local",))
    assert answer.classifier == "cascade"
    assert not llm.given


@pytest.mark.asyncio
@pytest.mark.parametrize("first", [says("crack", 0.89), says(UNKNOWN, 0.99), DOWN])
async def test_an_unsure_unknown_or_failed_stage_passes_on(
    first: Classification | Failure,
) -> None:
    local, llm = Fixed("local", first), Fixed("llm", says("pore", 0.4, cost=0.01))
    answer = await ask(cascade((local, 0.9), (llm, 0.0)))
    assert isinstance(answer, Classification)
    assert (answer.class_name, answer.stages) == ("pore", ("local", "llm"))
    assert answer.cost == 0.01
    assert answer.tokens_in == (10 if isinstance(first, Failure) else 20)


@pytest.mark.asyncio
async def test_the_strong_model_is_asked_only_where_the_small_one_is_unsure() -> None:
    local, small = Fixed("local", says("crack", 0.2)), Fixed("small", says("pore", 0.8))
    strong = Fixed("strong", says("crack", 0.6))
    answer = await ask(cascade((local, 0.9), (small, 0.7), (strong, 0.0)))
    assert isinstance(answer, Classification)
    assert answer.stages == ("local", "small")
    small.answer = says("pore", 0.6)
    answer = await ask(cascade((local, 0.9), (small, 0.7), (strong, 0.0)))
    assert isinstance(answer, Classification)
    assert (answer.class_name, answer.stages) == ("crack", ("local", "small", "strong"))


@pytest.mark.asyncio
async def test_a_dead_endpoint_leaves_the_unsure_answer_to_the_policy() -> None:
    local, llm = Fixed("local", says("crack", 0.6)), Fixed("llm", DOWN)
    answer = await ask(cascade((local, 0.9), (llm, 0.0)))
    assert isinstance(answer, Classification)
    assert answer.class_name == UNKNOWN
    assert answer.unknown_reason == "unsure: local 'crack' at 0.60; llm unreachable"
    assert answer.candidates == {"crack": 0.6}
    told = await ask(cascade((local, 0.9), (llm, 0.0), when_down="answer"))
    assert isinstance(told, Classification)
    assert (told.class_name, told.confidence) == ("crack", 0.6)


@pytest.mark.asyncio
async def test_everything_down_is_a_failure_with_every_reason() -> None:
    answer = await ask(cascade((Fixed("local", DOWN), 0.9), (Fixed("llm", DOWN), 0.0)))
    assert isinstance(answer, Failure)
    assert answer.message == "local: nobody there; llm: nobody there"


@pytest.mark.asyncio
async def test_time_is_kept_for_the_next_stage() -> None:
    slow, llm = Fixed("small", says("crack", 1.0), takes_s=60), Fixed("llm", says("pore", 0.9))
    answer = await ask(cascade((slow, 0.9), (llm, 0.0), time_share=0.4), timeout_s=10)
    assert isinstance(answer, Classification)
    assert answer.class_name == "pore"
    assert slow.given == [pytest.approx(4, abs=0.5)]
    assert llm.given[0] > 9


@pytest.mark.asyncio
async def test_no_time_at_all() -> None:
    answer = await ask(cascade((Fixed("local", says("crack", 1)), 0.9)), timeout_s=0)
    assert isinstance(answer, Failure)
    assert answer.reason_code is ReasonCode.LATE


@pytest.mark.asyncio
async def test_stages_start_and_close_together() -> None:
    local, llm = Fixed("local", DOWN), Fixed("llm", DOWN)
    chain = cascade((local, 0.9), (llm, 0.0))
    await chain.start()
    assert local.is_open
    assert llm.is_open
    await chain.close()
    assert not local.is_open
    assert not llm.is_open


@pytest.mark.asyncio
async def test_a_stage_that_does_not_start_closes_the_others() -> None:
    class Broken(Fixed):
        async def start(self) -> None:
            raise RuntimeError("no")

    local = Fixed("local", DOWN)
    with pytest.raises(RuntimeError, match="no"):
        await cascade((local, 0.9), (Broken("llm", DOWN), 0.0)).start()
    assert not local.is_open
