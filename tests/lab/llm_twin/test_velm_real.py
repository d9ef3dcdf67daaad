"""A real endpoint, where somebody names one: ANDON_TEST_LLM_URL, _MODEL, _KEY."""

import os

import pytest

from serving.naming.endpoint import Endpoint
from serving.naming.settings import EndpointSettings, EndpointZone
from serving.naming.velm import VelmClassifier
from streams.events import Classification
from tests.lab.llm_twin.kit import pore, references, request


@pytest.mark.llm
@pytest.mark.asyncio
async def test_a_real_model_answers_in_our_form() -> None:
    """The protocol holds; what the model says of two drawn pictures is shown, not judged."""
    url = os.environ.get("ANDON_TEST_LLM_URL")
    if not url:
        pytest.skip("no real endpoint: set ANDON_TEST_LLM_URL, _MODEL and _KEY")
    settings = EndpointSettings(
        base_url=url,
        model=os.environ.get("ANDON_TEST_LLM_MODEL", "gpt-4o"),
        api_key=os.environ.get("ANDON_TEST_LLM_KEY", "none"),  # type: ignore[arg-type]
        zone=EndpointZone.EXTERNAL,
        timeout_s=60,
    )
    classifier = VelmClassifier(Endpoint(settings), references=references())
    await classifier.start()
    try:
        for asked in (request(egress="full"), request(*pore(), egress="full", number=2)):
            answer = await classifier.classify(asked, 60)
            assert isinstance(answer, Classification), answer
            assert answer.unknown_reason in ("", "said_unknown"), answer
            assert answer.tokens_in > 0
    finally:
        await classifier.close()
