"""Our client and our twin against somebody else's reading of the protocol: LiteLLM's proxy."""

from collections.abc import Iterator

import pytest

from lab.llm_twin.app import Twin
from lab.llm_twin.server import TwinServer
from lab.peers.environment import PeerError
from serving.naming.endpoint import Endpoint
from serving.naming.velm import VelmClassifier
from streams.events import Classification
from streams.ports import Failure
from tests.lab.llm_twin.kit import endpoint_settings, references, request
from tests.lab.llm_twin.litellm_proxy import KEY, install, running_proxy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, Twin]]:
    """The proxy's address, and the twin behind it."""
    try:
        program = install()
    except PeerError as error:
        pytest.skip(f"LiteLLM cannot be installed here: {error}")
    with TwinServer(Twin()) as server:
        twin = server.twin
        with running_proxy(program, server.base_url, '{"class": "gas pore"}') as base_url:
            yield base_url, twin


async def ask(base_url: str, model: str) -> Classification | Failure:
    settings = endpoint_settings(base_url, model=model, api_key=KEY)
    classifier = VelmClassifier(Endpoint(settings), references=references())
    await classifier.start()
    try:
        return await classifier.classify(request(), 60)
    finally:
        await classifier.close()


@pytest.mark.asyncio
async def test_our_requests_are_understood_by_another_server(proxy: tuple[str, Twin]) -> None:
    answer = await ask(proxy[0], "mock")
    assert isinstance(answer, Classification)
    assert (answer.class_name, answer.model) == ("pore", "mock")


@pytest.mark.asyncio
async def test_another_client_is_understood_by_our_twin(proxy: tuple[str, Twin]) -> None:
    """Schema, pictures and log-probabilities pass through LiteLLM's own client unharmed."""
    base_url, twin = proxy
    before = twin.counters.answered
    answer = await ask(base_url, "upstream")
    assert isinstance(answer, Classification)
    assert answer.class_name == "crack"
    assert answer.candidates.keys() == {"crack", "pore"}
    assert twin.counters.answered == before + 1
    assert twin.counters.rejected == 0, twin.counters.rejections


@pytest.mark.asyncio
async def test_its_errors_become_failures(proxy: tuple[str, Twin]) -> None:
    answer = await ask(proxy[0], "no-such-model")
    assert isinstance(answer, Failure)
    assert answer.error_type == "rejected"
