"""The port of a classifier stage: one anomalous frame in, a class of the policy or why not out.

A stage runs inside a Ray Serve actor but knows nothing of Ray. It answers ``Classification`` for
everything that the endpoint or model said, ``unknown`` with its reason included, and ``Failure``
where nothing could be asked in time: the caller then applies the policy's fallback.
"""

from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

from prompts.names import fold as fold
from streams.events import Classification
from streams.ports import Asked, ClassificationRequest, Failure

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
        """Release what ``start`` opened. Late answers still under way are dropped."""
        ...


class OnLate(Protocol):
    """Told of the calls that outlive their deadline, on the event loop. Changes no decision."""

    def goes_on(self, asked: Asked) -> None:
        """The deadline passed; a call for ``asked`` is still under way."""
        ...

    def ended(self, asked: Asked, answer: Classification | None) -> None:
        """Once for each ``goes_on``; None when that call failed or was dropped."""
        ...


def match_class(answer: str, classes: Iterable[str]) -> str:
    """The one of ``classes`` (or ``normal``, ``unknown``) that ``answer`` means.

    An exact name wins; otherwise names are compared after ``fold``. No match, or more than one
    class that folds alike, is ``unknown``: a class is never guessed.
    """
    names = list(dict.fromkeys([*classes, NORMAL, UNKNOWN]))
    if answer in names:
        return answer
    folded = fold(answer)
    found = [name for name in names if fold(name) == folded]
    return found[0] if len(found) == 1 else UNKNOWN
