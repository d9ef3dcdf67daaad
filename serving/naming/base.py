"""The port of a classifier stage: one anomalous frame in, a class of the policy or why not out.

A stage runs inside a Ray Serve actor but knows nothing of Ray. It answers ``Classification`` for
everything that the endpoint or model said, ``unknown`` with its reason included, and ``Failure``
where nothing could be asked in time: the caller then applies the policy's fallback.
"""

from typing import Final, Protocol, runtime_checkable

from streams.events import Classification
from streams.ports import ClassificationRequest, Failure

NORMAL: Final = "normal"
"""The anomaly was a false alarm of the vision expert."""
UNKNOWN: Final = "unknown"
"""No class of the policy, or no answer that can be trusted."""
RESERVED: Final = frozenset({NORMAL, UNKNOWN})
"""Answers that every classifier may give beside the product's classes."""


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
