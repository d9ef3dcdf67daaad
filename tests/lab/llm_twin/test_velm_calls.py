"""The classifier's calls against the twin: retries, limits, breaker, budget, lateness."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer, twin_options
from serving.naming.build import build_classifier
from serving.naming.endpoint import Endpoint
from serving.naming.settings import VelmSettings
from serving.naming.velm import VelmClassifier
from streams.codes import ReasonCode
from streams.ports import Failure
from tests.lab.llm_twin.kit import (
    asking,
    endpoint_settings,
    named,
    request,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio


async def test_agreement_where_there_are_no_log_probabilities(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(logprobs=False)
    async with asking(server, VelmSettings(calls=3)) as classifier:
        answer = named(await classifier.classify(request(), 20))
    assert server.twin.counters.requests == 3
    assert answer.confidence == pytest.approx(4 / 5)
    assert answer.tokens_in > 9 * 255


async def test_a_failing_call_is_retried(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(failure_rate=1)
    async with asking(server, attempts=3) as classifier:
        answer = await classifier.classify(request(), 20)
    assert isinstance(answer, Failure)
    assert answer.error_type == "server_error"
    assert server.twin.counters.requests == 3


async def test_a_cut_connection_is_a_failure(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(drop_rate=1)
    async with asking(server, attempts=1) as classifier:
        answer = await classifier.classify(request(), 20)
    assert isinstance(answer, Failure)
    assert answer.error_type == "unreachable"


async def test_nobody_listens() -> None:
    settings = endpoint_settings("http://127.0.0.1:9/v1", attempts=2)
    classifier = VelmClassifier(Endpoint(settings))
    await classifier.start()
    answer = await classifier.classify(request(), 5)
    await classifier.close()
    assert isinstance(answer, Failure)
    assert answer.error_type == "unreachable"


async def test_a_rejected_request_is_not_repeated(server: TwinServer) -> None:
    async with asking(server, model="no-such-model") as classifier:
        answer = await classifier.classify(request(), 20)
    assert isinstance(answer, Failure)
    assert answer.error_type == "rejected"
    assert "no-such-model" in answer.message
    assert not answer.retryable
    assert server.twin.counters.requests == 1


async def test_a_wrong_key_is_never_shown(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(api_key="right")
    async with asking(server, api_key="sk-very-secret") as classifier:
        answer = await classifier.classify(request(), 20)
        assert "very-secret" not in repr(classifier.endpoint.settings)
    assert isinstance(answer, Failure)
    assert "401" in answer.message
    assert "very-secret" not in answer.message


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"api_key": "mine"}, ("HTTP 401", "check the key (api_key_env)")),
        ({"model": "no-such-model"}, ("HTTP 404", "the model's name")),
    ],
)
async def test_a_wrong_key_or_model_is_said_once_in_the_log_and_to_every_part(
    server: TwinServer,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, str],
    told: tuple[str, str],
) -> None:
    server.twin.behaviour = Behaviour(api_key="right")
    settings = {"api_key": "right", **wrong}
    async with asking(server, **settings) as classifier:
        answers = [await classifier.classify(request(number=n), 20) for n in range(12)]
    for answer in answers:  # the breaker's refusals too
        assert isinstance(answer, Failure)
        assert answer.reason_code is ReasonCode.CLASSIFIER_UNAVAILABLE
        assert all(words in answer.message for words in told), answer.message
    assert "breaker_open" in {a.error_type for a in answers if isinstance(a, Failure)}
    lines = [r.getMessage() for r in caplog.records if "does not answer" in r.getMessage()]
    assert len(lines) == 1
    assert all(words in lines[0] for words in told)


async def test_retry_after_holds_every_caller_back(server: TwinServer) -> None:
    """All wait as long as one was told to; those without the time fail at once."""
    server.twin.behaviour = Behaviour(rate_limit_rate=1, retry_after_s=3600)
    async with asking(server) as classifier, asyncio.timeout(60):
        first = await classifier.classify(request(), 1800)
        second = await classifier.classify(request(number=2), 1800)
    for answer in (first, second):
        assert isinstance(answer, Failure)
        assert answer.error_type == "rate_limited"
    assert server.twin.counters.requests == 1


async def test_who_waits_for_a_place_hears_of_the_pause_too(server: TwinServer) -> None:
    """A burst is not sent one by one into a limit that its first call was told of."""
    server.twin.behaviour = Behaviour(rate_limit_rate=1, retry_after_s=3600)
    async with asking(server, max_concurrency=1) as classifier, asyncio.timeout(60):
        await classifier.endpoint._places.acquire()
        asked = [
            asyncio.create_task(classifier.classify(request(number=n), 1800)) for n in range(12)
        ]
        await until(lambda: classifier.endpoint.statistics.waiting == len(asked))
        classifier.endpoint._places.release()
        answers = await asyncio.gather(*asked)
    assert [a.error_type for a in answers if isinstance(a, Failure)] == ["rate_limited"] * 12
    assert server.twin.counters.requests == 1


async def test_a_pause_is_waited_for_with_a_place_that_is_given_back(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(rate_limit_rate=1, retry_after_s=3600)
    async with asking(server, max_concurrency=1) as classifier, asyncio.timeout(60):
        await classifier.classify(request(), 1800)
        waiting = asyncio.create_task(classifier.classify(request(number=2), 7200))
        await until(lambda: classifier.endpoint._places.locked())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not classifier.endpoint._places.locked()


async def test_the_breaker_spares_a_dead_endpoint_and_recovers(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(failure_rate=1)
    now = [1000.0]
    breaker = {"failures": 3, "open_s": 30}
    async with asking(server, attempts=1, breaker=breaker, clock=lambda: now[0]) as classifier:
        answers = [await classifier.classify(request(number=i), 20) for i in range(1, 7)]
        assert server.twin.counters.requests == 3
        assert [a.error_type for a in answers if isinstance(a, Failure)] == (
            ["server_error"] * 3 + ["breaker_open"] * 3
        )
        server.twin.behaviour = Behaviour()
        now[0] += 31
        named(await classifier.classify(request(), 20))
        named(await classifier.classify(request(number=2), 20))


async def test_the_budget_of_the_hour(server: TwinServer) -> None:
    now = [0.0]
    budget = {"tokens_per_h": 3000}
    async with asking(server, budget=budget, clock=lambda: now[0]) as classifier:
        answers = [await classifier.classify(request(number=i), 20) for i in range(1, 6)]
        refused = [a for a in answers if isinstance(a, Failure)]
        assert {a.error_type for a in refused} == {"over_budget"}
        assert 0 < server.twin.counters.requests == 5 - len(refused) < 5
        spent = classifier.endpoint.budget.spent(now[0]).tokens
        assert spent == server.twin.counters.prompt_tokens + server.twin.counters.completion_tokens
        now[0] += 3601
        named(await classifier.classify(request(), 20))


async def test_the_hour_goes_on_when_new_exemplars_build_the_classifier_anew(
    server: TwinServer,
) -> None:
    options = twin_options(server.base_url, budget={"tokens_per_h": 3000})
    answers = []
    for number in range(1, 6):
        classifier = build_classifier("velm", options, {})
        await classifier.start()
        answers.append(await classifier.classify(request(number=number), 20))
        await classifier.close()
    assert [a.error_type for a in answers if isinstance(a, Failure)] == ["over_budget"] * 2
    assert server.twin.counters.requests == 3


async def test_the_slowest_of_several_calls_does_not_make_a_part_late(server: TwinServer) -> None:
    """Two answers that agree name it in time; without any, the part is left to answer late."""
    velm = VelmSettings(calls=3)
    async with asking(server, velm) as classifier, asyncio.timeout(20):
        asked = request()
        server.twin.behaviour = Behaviour(logprobs=False)
        classifier.endpoint._places = _Third(2)
        due = datetime.now(UTC) + timedelta(seconds=5)
        answer = named(await classifier.classify(replace(asked, deadline=due), 600))
        assert answer.confidence == pytest.approx(3 / 4), "two of two"
        server.twin.behaviour = Behaviour(logprobs=False, latency_ms=2500)
        classifier.endpoint._places = asyncio.Semaphore(3)
        due = datetime.now(UTC) + timedelta(seconds=0.5)
        answer = named(await classifier.classify(replace(asked, deadline=due), 600))
        assert answer.confidence == pytest.approx(4 / 5), "three of three, late"


class _Third(asyncio.Semaphore):
    """Two calls get a place, and the third waits for ever."""

    def release(self) -> None:
        pass


async def test_a_call_that_is_too_slow_is_late_and_gives_its_place_back(
    server: TwinServer,
) -> None:
    server.twin.behaviour = Behaviour(latency_ms=1500)
    async with asking(server, max_concurrency=1) as classifier:
        answer = await classifier.classify(request(), 1.0)
        assert isinstance(answer, Failure)
        assert answer.reason_code is ReasonCode.LATE
        assert classifier.endpoint.budget.spent(time.monotonic()).tokens > 0
        server.twin.behaviour = Behaviour()
        named(await classifier.classify(request(number=2), 20))


async def test_a_cancelled_caller_leaves_no_place_taken(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(latency_ms=300)
    async with asking(server, max_concurrency=1) as classifier:
        task = asyncio.create_task(classifier.classify(request(), 20))
        await until(lambda: server.twin.counters.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        named(await classifier.classify(request(number=2), 20))
        assert classifier.endpoint.statistics.in_flight_most == 1
