"""The cascade: who is asked, whose answer stands, what happens when a stage is down."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from serving.naming.base import UNKNOWN, Classifier
from serving.naming.cascade import CascadeClassifier, CascadeStage
from serving.naming.settings import CascadeSettings
from streams.codes import ReasonCode
from streams.events import Classification
from streams.failures import AskedInVain
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


async def ask(
    chain: CascadeClassifier, timeout_s: float = 10.0, due_in_s: float = 0.0
) -> Classification | Failure:
    """``due_in_s``: until the part's fallback; by default nobody waits for it any more."""
    assert isinstance(chain, Classifier)
    due = datetime.now(UTC) + timedelta(seconds=due_in_s)
    return await chain.classify(replace(request(), deadline=due), timeout_s)


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
async def test_a_line_shares_the_time_that_its_part_waits() -> None:
    """The call itself lives on for the record of late answers, far longer than the part waits."""
    slow, llm = Fixed("small", DOWN, takes_s=30), Fixed("llm", says("pore", 0.9))
    chain = CascadeClassifier(
        [CascadeStage(slow, 0.9, is_remote=True), CascadeStage(llm, is_remote=True)],
        CascadeSettings(time_share=0.5),
    )
    answer = await ask(chain, timeout_s=60, due_in_s=4)
    assert isinstance(answer, Classification)
    assert answer.class_name == "pore"
    assert slow.given == [pytest.approx(0.5 * (4 - 0.25), abs=0.5)]
    assert llm.given == [pytest.approx(60, abs=5)], "late, its answer is recorded"
    await ask(chain, timeout_s=60, due_in_s=-1)
    assert slow.given[1] == pytest.approx(30, abs=5)


@pytest.mark.asyncio
async def test_the_local_classifier_is_not_cut_for_a_stage_that_may_be_slower() -> None:
    local, llm = Fixed("local", says("crack", 0.95)), Fixed("llm", DOWN)
    await ask(cascade((local, 0.9), (llm, 0.0), time_share=0.5), timeout_s=60, due_in_s=1)
    assert local.given == [pytest.approx(30, abs=5)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("first", "when_down", "given_s"),
    [
        (says("crack", 0.6), "answer", 4 - 0.25),
        (says("crack", 0.6), "unknown", 60),
        (says(UNKNOWN, 0.6), "answer", 60),
        (DOWN, "answer", 60),
    ],
)
async def test_an_unsure_answer_that_shall_stand_stands_in_time(
    first: Classification | Failure, when_down: str, given_s: float
) -> None:
    llm = Fixed("llm", says("pore", 0.9), takes_s=30)
    chain = cascade((Fixed("local", first), 0.9), (llm, 0.0), when_down=when_down)
    llm.takes_s = 30 if given_s < 30 else 0
    answer = await ask(chain, timeout_s=60, due_in_s=4)
    assert llm.given == [pytest.approx(given_s, abs=3)]
    assert isinstance(answer, Classification)
    assert answer.class_name == ("crack" if given_s < 30 else "pore")


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


@pytest.mark.asyncio
async def test_what_a_stage_asked_in_vain_stands_on_the_record() -> None:
    lost = replace(DOWN, unanswered=AskedInVain(2, 1800, 0.01))
    unsure = Fixed("prototypes", says("crack", 0.3))
    retried = says("crack", 0.9, cost=0.002).model_copy(update={"unanswered_calls": 1})
    answer = await ask(cascade((unsure, 0.9), (Fixed("llm", lost), 0.5), (Fixed("b", retried), 0)))
    assert isinstance(answer, Classification)
    assert (answer.unanswered_calls, answer.unanswered_tokens) == (3, 1800)
    assert answer.unanswered_cost == 0.01
    assert answer.cost == 0.002
    failed = await ask(cascade((Fixed("llm", lost), 0.5), (Fixed("b", lost), 0)))
    assert isinstance(failed, Failure)
    assert failed.unanswered == AskedInVain(4, 3600, 0.02)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("p_value", "rate", "calls"),
    [(0.08, 0.05, 0), (0.05, 0.05, 1), (0.08, None, 1), (None, 0.05, 1)],
    ids=["passes anyway", "may be stopped", "no stop rate", "not calibrated"],
)
async def test_a_part_that_passes_anyway_is_not_asked_about_further(
    p_value: float | None, rate: float | None, calls: int
) -> None:
    unsure = says("crack", 0.3).model_copy(update={"normal_p_value": p_value})
    remote = Fixed("llm", says("crack", 1.0, cost=0.002))
    chain = cascade((Fixed("prototypes", unsure), 0.9), (remote, 0.5))
    asked = request(stop_rate=rate)
    answer = await chain.classify(asked, 10)
    assert isinstance(answer, Classification)
    assert len(remote.given) == calls
    assert answer.class_name == ("crack" if calls else UNKNOWN), "an unsure name never stands"
    assert answer.normal_p_value == p_value
