"""The bars: every part answered in time, nothing lost, never more calls than allowed."""

import asyncio
import time
from collections import Counter

import pytest

from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer
from serving.naming.settings import VelmSettings, VisualSettings
from streams.events import Classification
from streams.ports import Failure
from tests.lab.llm_twin.kit import client, request

SMALL = VelmSettings(visual=VisualSettings(side_px=64))


@pytest.mark.asyncio
async def test_a_hung_endpoint_never_holds_a_part_beyond_its_takt(server: TwinServer) -> None:
    """Endpoint at 30 s, takt 1 s: every part is handed to the fallback before its deadline."""
    server.twin.behaviour = Behaviour(latency_ms=30_000)
    classifier = client(server, SMALL, max_concurrency=8)
    await classifier.start()
    takt_s, margin_s = 1.0, 0.15
    waited: list[float] = []

    async def one(number: int) -> Classification | Failure:
        await asyncio.sleep(0.02 * number)  # parts keep arriving
        began = time.monotonic()
        answer = await classifier.classify(request(number=number + 1), takt_s - margin_s)
        waited.append(time.monotonic() - began)
        return answer

    answers = await asyncio.gather(*(one(i) for i in range(60)))
    in_flight = classifier.endpoint.statistics.in_flight_most
    await classifier.close()
    assert len(answers) == 60
    assert all(isinstance(a, Failure) for a in answers)
    kinds = Counter(a.error_type for a in answers if isinstance(a, Failure))
    assert set(kinds) <= {"late", "breaker_open"}
    assert max(waited) < 10, "the endpoint takes 30 s"
    assert in_flight <= 8


@pytest.mark.asyncio
async def test_errors_and_rate_limits_lose_nothing_and_exceed_nothing(server: TwinServer) -> None:
    """20 % errors and 20 % 429s: each part has an answer or a reason, within the limits."""
    server.twin.behaviour = Behaviour(
        failure_rate=0.2, rate_limit_rate=0.2, retry_after_s=0.02, latency_ms=5, seed=3
    )
    breaker = {"failures": 1000}
    classifier = client(server, SMALL, max_concurrency=6, attempts=5, breaker=breaker)
    await classifier.start()
    answers = await asyncio.gather(
        *(classifier.classify(request(number=i + 1), 60) for i in range(100))
    )
    await classifier.close()
    seen, sent = server.twin.counters, classifier.endpoint.statistics
    named = [a for a in answers if isinstance(a, Classification)]
    assert len(answers) == 100
    assert all(a.class_name == "crack" for a in named)
    assert len(named) >= 95  # all five calls of a part fail with probability .4 ** 5 = .01
    assert seen.in_flight_most <= 6
    assert sent.in_flight_most <= 6
    assert seen.requests == sent.calls == 100 + sent.retried
    assert seen.requests <= 5 * 100
    assert seen.failed > 0
    assert seen.rate_limited > 0


@pytest.mark.asyncio
async def test_a_rate_limit_is_kept(server: TwinServer) -> None:
    """At 20 requests a second most of 30 parts are told to wait, and all are answered."""
    server.twin.behaviour = Behaviour(requests_per_s=20, retry_after_s=0.2)
    classifier = client(server, SMALL, max_concurrency=30, attempts=20)
    await classifier.start()
    answers = await asyncio.gather(
        *(classifier.classify(request(number=i + 1), 60) for i in range(30))
    )
    await classifier.close()
    assert all(isinstance(a, Classification) for a in answers)
    assert server.twin.counters.rate_limited > 0


@pytest.mark.slow
def test_a_burst_uses_what_the_endpoint_allows() -> None:
    """200 parts at once: every place is taken, none is taken twice, and each part is answered.

    `andon benchmark llm` prints which share of the endpoint's capacity that is.
    """
    from lab.benchmarks.llm import measure_llm_load

    load = measure_llm_load(parts=200, latency_ms=300, concurrency=8)
    assert load.answered == load.calls == 200
    assert load.rejected == 0
    assert load.most_in_flight == 8
