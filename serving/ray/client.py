"""The ports ``VisionExpert`` and ``AnomalyClassifier`` over Ray Serve, for worker processes.

Nothing here raises for what Ray does: an answer that cannot be had in time is a ``Failure``.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from serving.ray.channel import CallFailed, Channel
from serving.ray.wire import (
    pack_images,
    pack_questions,
    pack_requests,
    unpack_classifications,
    unpack_inspections,
    unpack_late,
)
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import Asked, ClassificationRequest, Failure, InspectionRequest

log = logging.getLogger(__name__)

CALL_BYTES = 32 << 20
"""Most image bytes in one call; more go in calls of their own."""
DEFAULT_TIMEOUT_S = 5.0

Q = TypeVar("Q", InspectionRequest, ClassificationRequest)
A = TypeVar("A", Inspection, Classification)


@dataclass(frozen=True)
class _Target:
    number: int
    unavailable: ReasonCode


_VISION = _Target(0, ReasonCode.EXPERT_UNAVAILABLE)
_CLASSIFIER = _Target(1, ReasonCode.CLASSIFIER_UNAVAILABLE)
_LATE = 2


class _ServeClient:
    def __init__(
        self,
        address: str,
        application: str = "andon",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        channel: Channel | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._channel = channel or Channel(address, application)

    async def start(self) -> None:
        """Begin to connect; returns at once. Calls wait for the connection while they may."""
        await self._channel.start()

    async def close(self) -> None:
        """End the connection; calls under way fail."""
        await self._channel.close()

    @property
    def connected(self) -> bool:
        """Whether a connection to the cluster stands."""
        return self._channel.connected

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection; False when there is none after ``timeout_s``."""
        return await self._channel.wait_connected(timeout_s)

    async def _ask(
        self,
        target: _Target,
        requests: Sequence[Q],
        timeout_s: float,
        pack: Callable[[Sequence[Q]], bytes],
        unpack: Callable[[bytes], list[A | Failure]],
    ) -> list[A | Failure]:
        left = min(timeout_s, self._timeout_s)
        parts = await asyncio.gather(
            *(self._part(target, part, left, pack, unpack) for part in _parts(requests))
        )
        return [answer for part in parts for answer in part]

    async def _part(
        self,
        target: _Target,
        requests: Sequence[Q],
        timeout_s: float,
        pack: Callable[[Sequence[Q]], bytes],
        unpack: Callable[[bytes], list[A | Failure]],
    ) -> Sequence[A | Failure]:
        try:
            body = await self._channel.call(target.number, pack(requests), timeout_s)
            answers = unpack(body)
            if len(answers) == len(requests):
                return answers
            message = f"{len(answers)} answers to {len(requests)} requests"
            failure = Failure(target.unavailable, "WrongAnswer", message, retryable=True)
        except CallFailed as error:
            kind, message = error.kind, str(error)
            failure = Failure(target.unavailable, kind, message[:512], retryable=True)
        except Exception as error:
            log.exception("a call to Ray Serve failed in an unexpected way")
            kind = type(error).__name__
            failure = Failure(target.unavailable, kind, str(error)[:512], retryable=True)
        return [failure] * len(requests)


class ServeVisionExpert(_ServeClient):
    """``streams.ports.VisionExpert`` over the deployment of that name.

    Args:
        address: host:port of the Ray head.
        application: the Serve application.
        timeout_s: most seconds for one call, whatever the caller allows.
    """

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        """One answer per request, in order, within ``timeout_s`` seconds; never raises."""
        return await self._ask(_VISION, requests, timeout_s, pack_images, unpack_inspections)


class ServeClassifier(_ServeClient):
    """``streams.ports.AnomalyClassifier`` and ``LateAnswers`` over the deployment of that name.

    Args: as for :class:`ServeVisionExpert`.
    """

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        """One answer per request, in order, within ``timeout_s`` seconds; never raises."""
        return await self._ask(
            _CLASSIFIER, requests, timeout_s, pack_requests, unpack_classifications
        )

    async def late_answers(
        self, questions: Sequence[Asked], timeout_s: float
    ) -> Mapping[Asked, Classification] | None:
        """``streams.ports.LateAnswers``: of one replica; another call may find another."""
        try:
            return unpack_late(
                await self._channel.call(_LATE, pack_questions(questions), timeout_s)
            )
        except (CallFailed, ValueError) as error:
            log.warning("no late answers were fetched: %s", error)
            return {}


def _parts(requests: Sequence[Q]) -> list[Sequence[Q]]:
    """Runs of requests of at most ``CALL_BYTES``, or of one larger request."""
    parts: list[Sequence[Q]] = []
    start, size = 0, 0
    for i, request in enumerate(requests):
        if i > start and size + len(request.image) > CALL_BYTES:
            parts.append(requests[start:i])
            start, size = i, 0
        size += len(request.image)
    if start < len(requests):
        parts.append(requests[start:])
    return parts
