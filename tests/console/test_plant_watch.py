"""What the console asks PostgreSQL and Serve for its metrics: told while known, and no longer."""

import asyncio

import pytest

from console import metrics
from console.metrics import ConsoleMeter
from console.plant_watch import REASONS, PlantWatch
from history.review_queue import WaitingFor
from serving.ray.settings import CLASSIFIER, VISION
from tests.console.plant import NOW, GivenQueue, GivenServing
from tests.waiting import until


class Watched:
    """A watch, and what Prometheus would be told."""

    def __init__(self) -> None:
        self.queue, self.serving, self.is_fresh = GivenQueue(), GivenServing(), True
        self.watch = PlantWatch(self.queue, self.serving, lambda: self.is_fresh, 0.01, lambda: NOW)
        self.registry = ConsoleMeter(self.watch.reads()).registry

    async def look(self) -> None:
        await self.watch.look_at_reviews()
        await self.watch.look_at_replicas()

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"andon_{name}", labels)


@pytest.mark.asyncio
async def test_what_waits_and_what_serves_is_told() -> None:
    w = Watched()
    await w.look()
    assert w.value("review_waiting_parts", waits_for="hold") == 7
    assert w.value("review_waiting_parts", waits_for="late") == 0
    assert w.value("review_oldest_seconds", waits_for="hold") == 9 * 3600
    assert w.value("review_oldest_seconds", waits_for="unknown") is None
    assert w.value("review_oldest_seconds", waits_for="late") == 0
    assert [w.value("console_sees", check=c) for c in ("kafka", "postgres", "serve")] == [1, 1, 1]
    assert w.value("serve_replicas_expected", deployment=VISION) == 3
    assert w.value("serve_replicas", deployment=VISION) == 2
    assert w.value("serve_replicas", deployment=CLASSIFIER) == 1
    for version in ("new", "old"):
        place = {"deployment": VISION, "product": "tile", "version": version}
        assert w.value("serve_model_info", **place) == 1
    for build in ("0.3.0", "0.2.0"):
        assert w.value("serve_build_info", deployment=VISION, build=build) == 1
    assert w.value("serve_build_info", deployment=CLASSIFIER, build="") == 1
    assert w.value("serve_problems", deployment=VISION, product="tile") == 1
    a, b = ({"deployment": VISION, "replica": letter * 8} for letter in "ab")
    assert w.value("serve_answers_total", **a, result="scored") == 9
    assert w.value("serve_answers_total", **a, result="failed") == 1
    assert w.value("serve_waiting_items", **a) == 4
    assert w.value("serve_cpu_seconds_total", **a) == 2.5
    assert w.value("serve_resident_bytes", **b) == 1 << 30
    lost = {"replica": "c" * 8, "endpoint": "llm", "result": "unanswered"}
    assert w.value("serve_llm_calls_total", **lost) == 1
    assert w.value("serve_llm_tokens_total", **lost) == 829
    assert w.value("serve_llm_cost_total", **lost) == 0.003
    assert w.value("serve_llm_tokens_total", **(lost | {"result": "answered"})) == 2700


@pytest.mark.asyncio
async def test_what_does_not_answer_is_said_and_has_no_values() -> None:
    w = Watched()
    await w.look()
    w.queue.down = w.serving.down = True
    w.is_fresh = False
    await w.look()
    assert [w.value("console_sees", check=c) for c in ("kafka", "postgres", "serve")] == [0, 0, 0]
    assert w.value("review_waiting_parts", waits_for="hold") is None
    assert w.value("review_oldest_seconds", waits_for="hold") is None
    assert w.value("serve_replicas", deployment=VISION) is None
    assert w.value("serve_problems", deployment=VISION, product="tile") is None
    w.queue.down = w.serving.down = False
    await w.look()
    assert [w.value("console_sees", check=c) for c in ("postgres", "serve")] == [1, 1]


@pytest.mark.asyncio
async def test_it_looks_again_and_again_until_it_is_ended() -> None:
    w = Watched()
    running = asyncio.create_task(w.watch.run())
    await until(lambda: w.serving.looks >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert w.serving.closed


def test_every_reason_but_rejects_is_asked_for() -> None:
    assert set(WaitingFor) - set(REASONS) == {WaitingFor.REJECT}
    asked = {metrics.REQUESTS, metrics.ANSWERING, metrics.OPEN}
    assert set(Watched().watch.reads()) == set(metrics.CONSOLE_METRICS) - asked
