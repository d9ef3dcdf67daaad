"""An answer is asked for once, ever; what makes it another answer makes it another key."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from lab.llm_twin.app import Twin
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer
from lab.velm.answers_cache import CALLS, Cache, CachedEndpoint, CacheError, question_key
from serving.naming.calls import Question
from serving.naming.endpoint import Reply, Unanswered
from serving.naming.settings import EndpointSettings, EndpointZone, VisualSettings
from serving.naming.visual import encode
from tests.lab.velm.mini import plate

QUESTION = Question("system", "which?", (), ("dark spot", "long scratch"))


def settings(base_url: str = "http://127.0.0.1:1/v1", **changes: object) -> EndpointSettings:
    return EndpointSettings(
        base_url=base_url, model="twin", zone=EndpointZone.LOOPBACK, logprobs=True, **changes
    )


@pytest.fixture
def question() -> Question:
    import base64

    import numpy as np

    grey = plate(np.random.default_rng(1))
    body = encode(np.stack([grey] * 3, axis=2), VisualSettings())
    url = "data:image/png;base64," + base64.b64encode(body).decode()
    return replace(QUESTION, image_urls=(url,))


async def ask(endpoint: CachedEndpoint, question: Question) -> Reply | Unanswered:
    await endpoint.start()
    try:
        return await endpoint.ask(question, 20.0)
    finally:
        await endpoint.close()


@pytest.mark.asyncio
async def test_a_second_run_asks_nothing_and_gets_the_same(
    tmp_path: Path, question: Question
) -> None:
    with Cache(tmp_path) as cache, TwinServer(Twin()) as server:
        first = await ask(CachedEndpoint(settings(server.base_url), cache), question)
        assert isinstance(first, Reply)
        assert first.raw.tokens is not None
    with Cache(tmp_path) as cache:
        calls: list[Reply] = []
        CALLS.set(calls)
        again = await ask(CachedEndpoint(settings(), cache), question)
    assert again == replace(first, attempts=0)
    assert calls == [again]


@pytest.mark.asyncio
async def test_repeated_calls_with_a_temperature_are_different_answers(
    tmp_path: Path, question: Question
) -> None:
    varied = replace(question, temperature=1.0)
    with Cache(tmp_path) as cache, TwinServer(Twin()) as server:
        for expected in (2, 2):
            endpoint = CachedEndpoint(settings(server.base_url), cache)
            await ask(endpoint, varied)
            await ask(endpoint, varied)
            assert server.twin.counters.answered == expected


@pytest.mark.asyncio
async def test_rubbish_and_failures_are_asked_again(tmp_path: Path, question: Question) -> None:
    with Cache(tmp_path) as cache, TwinServer(Twin(Behaviour(rubbish="no_choices"))) as server:
        reply = await ask(CachedEndpoint(settings(server.base_url), cache), question)
        assert isinstance(reply, Reply)
        assert reply.raw.unreadable is not None
        server.twin.behaviour = Behaviour(failure_rate=1.0)
        once = settings(server.base_url, attempts=1)
        assert isinstance(await ask(CachedEndpoint(once, cache), question), Unanswered)
        server.twin.behaviour = Behaviour()
        reply = await ask(CachedEndpoint(settings(server.base_url), cache), question)
        assert isinstance(reply, Reply)
        assert reply.attempts == 1


@pytest.mark.parametrize(
    "other",
    [
        settings().model_copy(update={"model": "gpt-4o"}),
        settings(temperature=0.5),
        settings(max_tokens=32),
        settings(detail="high"),
        settings(structured="none"),
        settings(extra_body={"seed": 1}),
        EndpointSettings(base_url="https://elsewhere.example/v1", model="twin", logprobs=True),
    ],
)
def test_what_changes_the_answer_changes_the_key(other: EndpointSettings) -> None:
    assert question_key(QUESTION, other) != question_key(QUESTION, settings())


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, text="what?"),
        replace(QUESTION, system=""),
        replace(QUESTION, labels=("long scratch", "dark spot")),
        replace(QUESTION, image_urls=("data:a", "data:b")),
        replace(QUESTION, temperature=1.0),
    ],
)
def test_another_question_has_another_key(other: Question) -> None:
    assert question_key(other, settings()) != question_key(QUESTION, settings())


def test_what_does_not_change_the_answer_does_not_change_the_key() -> None:
    others = [
        settings("http://127.0.0.1:9999/v1"),
        settings(api_key=SecretStr("hunter2"), max_concurrency=1, timeout_s=1.0),
    ]
    assert {question_key(QUESTION, o) for o in others} == {question_key(QUESTION, settings())}


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "evaluation.sqlite3").write_text("something else, long enough to be read" * 9)
    with pytest.raises(CacheError, match=r"evaluation\.sqlite3: file is not a database"):
        Cache(tmp_path)
