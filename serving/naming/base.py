"""The port of a classifier stage: one anomalous frame in, a class of the policy or why not out.

A stage runs inside a Ray Serve actor but knows nothing of Ray. It answers ``Classification`` for
everything that the endpoint or model said, ``unknown`` with its reason included, and ``Failure``
where nothing could be asked in time: the caller then applies the policy's fallback.
"""

from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from prompts.names import NORMAL as NORMAL
from prompts.names import RESERVED as RESERVED
from prompts.names import UNKNOWN as UNKNOWN
from streams.events import Classification
from streams.ports import ClassificationRequest, Failure


@runtime_checkable
class Classifier(Protocol):
    """One stage of naming: prototypes, a multimodal LLM, or a cascade of others."""

    name: str
    """What ``Classification.classifier`` says."""

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        """Name one anomaly within ``timeout_s`` seconds. Never raises for what it was given."""
        ...

    async def start(self) -> None:
        """Open connections, load exemplars. Called once before the first request."""
        ...

    async def close(self) -> None:
        """Release what ``start`` opened."""
        ...


def waited_for_s(request: ClassificationRequest) -> float:
    """Seconds in which an answer still decides the part; 0 or less where its fallback has, and an
    answer is for the record. What the way back takes is taken off."""
    left_s = (request.deadline - datetime.now(UTC)).total_seconds()
    return left_s - min(0.1 * left_s, 0.25)
