"""A twin for each test."""

from collections.abc import Iterator

import pytest

from lab.llm_twin.app import Twin
from lab.llm_twin.server import TwinServer


@pytest.fixture
def server() -> Iterator[TwinServer]:
    """A twin on a loopback port; set ``server.twin.behaviour`` to change how it acts."""
    with TwinServer(Twin()) as running:
        yield running
