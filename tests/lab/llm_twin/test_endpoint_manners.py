"""The client and ``andon llm check`` against endpoints that take only parts of the protocol."""

import json
from typing import Any

import pytest

from andon.cli.llm_check import check_endpoints
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.manners import Style, TwinManners
from lab.llm_twin.server import TwinServer
from serving.naming.settings import EndpointSettings
from streams.ports import Failure
from tests.lab.llm_twin.kit import asking, endpoint_settings, named, request

pytestmark = pytest.mark.asyncio

HALTING: list[tuple[dict[str, Any], str]] = [
    ({"temperature": False}, "takes no temperature"),
    ({"tokens_fields": ("max_tokens",)}, "calls the bound on the answer max_tokens"),
    ({"tokens_fields": ()}, "takes no bound on the answer's tokens"),
    ({"forms": ("json_object", "text")}, "refuses json_schema (json_object is used)"),
    ({"forms": ("text",)}, "refuses json_schema and json_object"),
    ({"logprobs": False}, "gives no log-probabilities"),
    ({"top_logprobs": False}, "gives no alternatives of a token"),
    ({"detail": False}, "takes no image detail"),
    ({"system_role": False}, "takes no system message"),
    ({"side_most_px": 300}, "takes pictures up to 252 px a side"),
]


@pytest.mark.parametrize(("manners", "learned"), HALTING)
async def test_the_client_learns_from_a_refusal_and_keeps_to_it(
    server: TwinServer, manners: dict[str, Any], learned: str
) -> None:
    server.twin.behaviour = Behaviour(manners=TwinManners(**manners))
    async with asking(server) as classifier:
        await classifier.classify(request(), 20)
        refused = server.twin.counters.rejected
        assert 1 <= refused <= 2
        assert learned in "; ".join(classifier.endpoint.manners.described())
        for number in range(2, 5):
            named(await classifier.classify(request(number=number), 20))
        assert server.twin.counters.rejected == refused, "a refusal is not asked for twice"


@pytest.mark.parametrize(
    "style", ["openai", "fastapi", "vllm", "mistral", "gemini", "litellm", "openrouter", "in_200"]
)
async def test_the_forms_in_which_servers_refuse(server: TwinServer, style: Style) -> None:
    manners = TwinManners(tokens_fields=("max_tokens",), logprobs=False, refuses_in=style)
    server.twin.behaviour = Behaviour(manners=manners)
    async with asking(server) as classifier:
        assert named(await classifier.classify(request(), 20)).class_name == "crack"
    assert server.twin.counters.requests == 3


async def test_learned_calls_are_no_attempts(server: TwinServer) -> None:
    manners = TwinManners(temperature=False, logprobs=False, detail=False)
    server.twin.behaviour = Behaviour(manners=manners)
    async with asking(server, attempts=1) as classifier:
        named(await classifier.classify(request(), 20))
        assert classifier.endpoint.statistics.learned == 3


async def test_a_dead_end_leaves_the_pictures_as_they_were(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(manners=TwinManners(body_most=1000))
    async with asking(server) as classifier:
        answer = await classifier.classify(request(), 20)
        assert isinstance(answer, Failure)
        assert "413" in answer.message
        assert not classifier.endpoint.manners.refits


async def test_what_was_found_out_is_not_learned_again(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(manners=TwinManners(temperature=False))
    async with asking(server, accepts={"temperature": False}) as classifier:
        named(await classifier.classify(request(), 20))
    assert server.twin.counters.rejected == 0


async def check(server: TwinServer, **changes: Any) -> dict[str, Any]:
    settings = endpoint_settings(server.base_url, **changes)
    (row,) = await check_endpoints([settings], 20)
    return row


@pytest.mark.parametrize(("manners", "learned"), HALTING)
async def test_check_finds_out_what_is_named(
    server: TwinServer, manners: dict[str, Any], learned: str
) -> None:
    server.twin.behaviour = Behaviour(manners=TwinManners(**manners))
    row = await check(server)
    assert learned in " ".join(row["warnings"])
    EndpointSettings.model_validate(
        endpoint_settings(server.base_url).model_dump() | {"accepts": row["manners"]}
    )


@pytest.mark.parametrize(("manners", "learned"), [h for h in HALTING if "side" not in str(h[0])])
async def test_check_finds_out_what_is_not_named(
    server: TwinServer, manners: dict[str, Any], learned: str
) -> None:
    server.twin.behaviour = Behaviour(manners=TwinManners(refuses_in="silent", **manners))
    row = await check(server)
    assert learned in " ".join(row["warnings"])
    refused = server.twin.counters.rejected
    async with asking(server, accepts=row["manners"]) as classifier:
        named(await classifier.classify(request(), 20))
    assert server.twin.counters.rejected == refused


async def test_check_of_an_endpoint_that_takes_everything(server: TwinServer) -> None:
    row = await check(server)
    assert row["ok"]
    assert row["warnings"] == []
    assert row["accepts"] == {
        "address": f"{server.base_url}/chat/completions",
        "temperature": True,
        "max_tokens_field": "max_completion_tokens",
        "structured": "json_schema",
        "logprobs": "given",
        "detail": True,
        "system_role": True,
        "side_most_px": None,
        "encoding": "png",
    }
    assert server.twin.counters.requests == 2


async def test_check_says_that_log_probabilities_are_not_given(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(logprobs=False)
    row = await check(server)
    assert "asked for and not given" in row["message"]
    assert row["accepts"]["logprobs"] == "not given"
    assert any("confidence 0.67" in words for words in row["warnings"])


async def test_check_says_that_log_probabilities_could_be_had(server: TwinServer) -> None:
    row = await check(server, logprobs=False)
    assert any("logprobs = true" in words for words in row["warnings"])


async def test_check_finds_how_many_tokens_reasoning_takes(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(rubbish="only_reasoning")
    row = await check(server)
    assert not row["ok"]
    assert any("set max_tokens to 1024" in words for words in row["warnings"])


async def test_check_notices_a_model_that_does_not_look(server: TwinServer) -> None:
    server.twin.behaviour = Behaviour(obeys_pictures="line")
    row = await check(server)
    assert any("does it see pictures" in words for words in row["warnings"])


@pytest.mark.parametrize(
    ("oddity", "requests"),
    [
        ("bom", 1),
        ("stream", 1),
        ("parts", 1),
        ("reasoning_content", 1),
        ("reasoning", 1),
        ("reasoning_unopened", 1),
        ("fenced", 1),
    ],
)
async def test_odd_answers_are_understood(server: TwinServer, oddity: Any, requests: int) -> None:
    server.twin.behaviour = Behaviour(rubbish=oddity)
    async with asking(server) as classifier:
        assert named(await classifier.classify(request(), 20)).class_name == "crack"
    assert server.twin.counters.requests == requests


@pytest.mark.parametrize(
    ("oddity", "problem", "calls"),
    [
        ("error_429", "rate_limited", 3),
        ("choice_error", "server_error", 3),
        ("gateway_page", "server_error", 3),
        ("gateway_words", "server_error", 3),
        ("empty_body", "server_error", 3),
        ("cut_body", "server_error", 3),
        ("html", "not_an_api", 1),
        ("login_page", "not_an_api", 1),
        ("other_interface", "not_an_api", 1),
    ],
)
async def test_what_stands_in_the_way_is_told_apart(
    server: TwinServer, oddity: Any, problem: str, calls: int
) -> None:
    server.twin.behaviour = Behaviour(rubbish=oddity)
    async with asking(server, attempts=3) as classifier:
        answer = await classifier.classify(request(), 20)
    assert isinstance(answer, Failure)
    assert answer.error_type == problem
    assert server.twin.counters.requests == calls


async def test_pasted_addresses_reach_the_endpoint(server: TwinServer) -> None:
    for pasted in (
        f"{server.base_url}/chat/completions",
        f"{server.base_url}/?api-version=2024-10-21",
        f" '{server.base_url}//' ",
    ):
        settings = endpoint_settings(pasted)
        (row,) = await check_endpoints([settings], 20)
        assert row["ok"], row


async def test_the_record_of_a_check_is_kept_for_the_deployment(
    server: TwinServer, tmp_path: Any
) -> None:
    from andon.llm_endpoints import remember, with_remembered
    from serving.naming.manners import Manners
    from serving.naming.settings import ClassifierSettings

    endpoint = endpoint_settings(server.base_url)
    settings = ClassifierSettings(endpoints=(endpoint,))
    found = Manners(temperature=False)
    path = remember(endpoint, found, tmp_path)
    assert with_remembered(settings, tmp_path).endpoints[0].accepts == found
    other = endpoint.model_copy(update={"model": "another"})
    unknown = with_remembered(ClassifierSettings(endpoints=(other,)), tmp_path)
    assert unknown.endpoints[0].accepts is None
    path.write_text(json.dumps({"base_url": 7}))
    assert with_remembered(settings, tmp_path).endpoints[0].accepts is None
