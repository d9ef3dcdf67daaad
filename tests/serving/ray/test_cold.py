"""Frames that wait for their product's expert."""

import asyncio
import threading

import pytest

from serving.batching import Expired, QueueFull
from serving.ray.cold import ColdLoads
from streams.codes import ReasonCode
from streams.ports import Failure

pytestmark = pytest.mark.asyncio

MISSING = Failure(ReasonCode.NO_ARTIFACT, "NoArtifact", "none")


async def test_who_waits_too_long_is_told_and_the_loading_goes_on() -> None:
    go = threading.Event()
    loads = []

    def load(product: str) -> Failure:
        loads.append(product)
        go.wait(30)
        return MISSING

    cold = ColdLoads(load, 100)
    try:
        first = asyncio.ensure_future(cold.ready("a", 60, 30.0))
        with pytest.raises(Expired):
            await cold.ready("a", 40, 0.01)
        with pytest.raises(QueueFull):
            await cold.ready("a", 60, 30.0)
        go.set()
        assert await first is MISSING
        assert loads == ["a"]
        assert await cold.ready("a", 60, 30.0) is MISSING
        assert loads == ["a", "a"]
    finally:
        go.set()
        cold.close()
