"""What calls take that bring no answer: on the budget, the bill, and the part's own record."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer, twin_options
from serving.naming.answers import RawAnswer
from serving.naming.build import bills, build_classifier
from serving.naming.calls import Completion, Failed, Question
from serving.naming.completion import estimate_tokens
from serving.naming.endpoint import Endpoint
from serving.naming.failures import failure_of
from serving.naming.guard import CallBill
from serving.naming.manners import Manners
from serving.naming.refusals import Refusal
from serving.naming.responses import read_completion
from serving.naming.settings import VelmSettings
from serving.naming.velm import VelmClassifier
from streams.failures import AskedInVain
from streams.ports import Failure
from tests.lab.llm_twin.kit import asking, endpoint_settings, named, request

PRICES = {"tokens_in": 2.5, "tokens_out": 10}


@pytest.mark.asyncio
async def test_a_call_that_the_deadline_cut_is_told_with_the_part(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(latency_ms=60_000)
    async with asking(server, prices=PRICES) as classifier:
        answer = await classifier.classify(request(), 0.8)
        bill = classifier.endpoint.budget.bill
    assert isinstance(answer, Failure)
    assert answer.unanswered.calls == 1
    assert answer.unanswered.tokens > 3 * 255
    assert answer.unanswered.cost > 0
    assert f"some {answer.unanswered.tokens} tokens" in answer.message, "the fallback's reason"
    assert (bill.unanswered.calls, bill.answered.calls) == (1, 0)
    assert bill.unanswered.tokens == answer.unanswered.tokens


@pytest.mark.asyncio
async def test_calls_that_were_cut_for_others_stand_beside_the_answer(server: TwinServer) -> None:
    async with asking(server, VelmSettings(calls=3), prices=PRICES) as classifier:
        asked = request()
        classifier.endpoint._transport = _Scripted([_answer(), _answer(), None])  # type: ignore[assignment]
        due = datetime.now(UTC) + timedelta(seconds=1)
        answer = named(await classifier.classify(replace(asked, deadline=due), 600))
        bill = classifier.endpoint.budget.bill
    assert answer.tokens_in == 2 * 900, "two were answered"
    assert (answer.unanswered_calls, bill.unanswered.calls) == (1, 1)
    assert answer.unanswered_tokens == bill.unanswered.tokens > 0
    assert answer.unanswered_cost == pytest.approx(bill.unanswered.money)


@pytest.mark.asyncio
async def test_a_retry_after_a_cut_connection_pays_twice(server: TwinServer) -> None:
    """The endpoint had the question when the connection broke: it may have answered."""
    server.twin.behaviour = Behaviour(drop_rate=1)
    async with asking(server, attempts=2) as classifier:
        answer = await classifier.classify(request(), 20)
    assert server.twin.counters.dropped == 2
    assert isinstance(answer, Failure)
    assert answer.unanswered.calls == 2
    assert answer.unanswered.tokens == classifier.endpoint.budget.bill.unanswered.tokens > 6 * 255


@pytest.mark.asyncio
async def test_a_refusal_at_once_costs_nothing(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(rate_limit_rate=1, retry_after_s=None)
    async with asking(server, attempts=2) as classifier:
        answer = await classifier.classify(request(), 20)
    assert isinstance(answer, Failure)
    assert answer.unanswered == AskedInVain(calls=2)
    assert "tokens" not in answer.message


@pytest.mark.asyncio
async def test_pictures_cost_what_the_model_said_they_cost_before() -> None:
    """A picture of one model is 255 tokens and of another 8,500: a call that is cut counts so."""
    endpoint = Endpoint(endpoint_settings("http://127.0.0.1:9/v1", max_tokens=64))
    question = Question("", "?", ("data:image/png;base64,AA",) * 3, ("crack",))
    guess = sum(estimate_tokens(question, endpoint.settings))
    endpoint._transport = _Scripted([_answer(tokens_in=25_500), None])  # type: ignore[assignment]
    bill = CallBill()
    await endpoint.ask(question, 20, bill)
    await endpoint.ask(question, 0.05, bill)
    assert (bill.answered.calls, bill.unanswered.calls) == (1, 1)
    assert bill.unanswered.tokens == 25_500 + 64 > 20 * guess


def test_an_error_that_says_what_was_worked_is_paid_for_that() -> None:
    broken = {"finish_reason": "error", "message": {"content": "{"}}
    document = {
        "choices": [broken],
        "usage": {"prompt_tokens": 812, "completion_tokens": 9},
    }
    found = read_completion(json.dumps(document).encode())
    assert isinstance(found, Failed)
    assert (found.billed, found.usage) == (True, (812, 9))
    without = read_completion(json.dumps({"error": {"code": 429, "message": "slow"}}).encode())
    assert isinstance(without, Failed)
    assert (without.billed, without.usage) == (False, None)


@pytest.mark.parametrize(("status", "billed"), [(500, False), (503, False), (504, True)])
def test_a_gateway_that_gave_up_leaves_the_model_working(status: int, billed: bool) -> None:
    failed = failure_of(Refusal(status, "upstream"), "llm")
    assert isinstance(failed, Failed)
    assert failed.billed is billed


@pytest.mark.asyncio
async def test_replicas_share_the_hour_and_the_places(server: TwinServer) -> None:
    """Of four replicas each may spend a quarter, and what it spent counts on when they are two."""
    options = twin_options(server.base_url, budget={"tokens_per_h": 8000}, max_concurrency=8)
    said: list[str] = []
    for replicas, parts in ((4, 3), (2, 4)):
        classifier = build_classifier("velm", options, {}, replicas)
        assert isinstance(classifier, VelmClassifier)
        assert classifier.endpoint.settings.max_concurrency == 8 // replicas
        await classifier.start()
        for _ in range(parts):
            answer = await classifier.classify(request(number=len(said) + 1), 60)
            said.append(answer.error_type if isinstance(answer, Failure) else "")
        await classifier.close()
    assert said == ["", "", "over_budget", "", "", "over_budget", "over_budget"]
    assert bills()["twin"].answered.calls == 4


def test_a_share_is_never_nothing() -> None:
    budget = {"tokens_per_h": 10, "money_per_h": 3.0}
    settings = endpoint_settings("http://127.0.0.1:9/v1", max_concurrency=2, budget=budget)
    shared = settings.shared_by(3)
    assert (shared.max_concurrency, shared.budget.tokens_per_h) == (1, 3)
    assert shared.budget.money_per_h == 1.0
    assert settings.shared_by(1) == settings


def _answer(tokens_in: int = 900) -> Completion:
    return Completion(RawAnswer('{"class": "crack"}'), tokens_in, 7, "m")


class _Scripted:
    """Answers in turn; where there is None, never."""

    def __init__(self, answers: list[Completion | None]) -> None:
        self._answers = answers

    async def send(self, question: Question, manners: Manners) -> Completion | Failed:
        answer = self._answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    async def close(self) -> None:
        pass
