"""A twin for each test."""

from collections.abc import Iterator

import pytest

from infra.llm_twin.app import Twin
from infra.llm_twin.server import TwinServer


@pytest.fixture
def server() -> Iterator[TwinServer]:
    """A twin on a loopback port; set ``server.twin.behaviour`` to change how it acts."""
    with TwinServer(Twin()) as running:
        yield running
