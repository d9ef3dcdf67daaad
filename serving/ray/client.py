"""The ports ``VisionExpert`` and ``AnomalyClassifier`` over Ray Serve, for worker processes.

A call is made once: an answer that cannot be had in time is a ``Failure``, nothing is raised for
what Ray does, and whoever may ask again decides that itself. Ray is not imported here.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import grpc
import grpc.aio

from serving.ray.replicas import STATUS, ApplicationStatus, warm_version
from serving.ray.tokens import read_token, told_token
from serving.ray.wire import (
    CLASSIFY,
    GRPC_LIMITS,
    SCORE,
    SERVICE,
    WARM,
    pack_images,
    pack_requests,
    unpack_classifications,
    unpack_inspections,
)
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.masking import masking_logger
from streams.ports import ClassificationRequest, Failure, InspectionRequest

log = masking_logger(__name__)

CONNECT_S = 0.25
"""So long a call waits for a connection; whoever asks again learns meanwhile why it waits."""
WARM_AGAIN_S = 0.25
"""Pause before replicas that were missing or differed are asked again."""
CALL_BYTES = 32 << 20
"""Most image bytes in one call; more go in calls of their own."""
_OPTIONS: Final = (
    *GRPC_LIMITS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # a host that vanished is noticed within 15 s
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)

Q = TypeVar("Q", InspectionRequest, ClassificationRequest)
A = TypeVar("A", Inspection, Classification)


class _ServeClient:
    """One connection to the ingress, made and kept by gRPC.

    Args:
        address: host:port of the application's ingress.
        token_file: holds the cluster's token; where there is no such file, none is sent.
    """

    method: str
    unavailable: ReasonCode

    def __init__(self, address: str, token_file: Path | None = None) -> None:
        self._address, self._token_file = address, token_file
        self._channel: grpc.aio.Channel | None = None
        self._token = ""

    async def start(self) -> None:
        """Begin to connect; returns at once. Calls wait for the connection while they may."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
            self._channel.get_state(try_to_connect=True)
            self._read_token()

    async def close(self) -> None:
        """End the connection; calls under way fail."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection; False when there is none after ``timeout_s``."""
        if self._channel is None:
            return False
        try:
            if self._channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
                await asyncio.wait_for(self._channel.channel_ready(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def refusal(self, timeout_s: float) -> str:
        """Why the ingress would refuse every call of ours; empty where it would not, or is away."""
        try:
            await self._call(STATUS, b"", timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return f"{error.details()} ({told_token(self._token_file)})"
        return ""

    async def _ask(
        self,
        requests: Sequence[Q],
        timeout_s: float,
        pack: Callable[[Sequence[Q]], bytes],
        unpack: Callable[[bytes], list[A | Failure]],
    ) -> list[A | Failure]:
        async def one(part: Sequence[Q]) -> Sequence[A | Failure]:
            try:
                answers = unpack(await self._call(self.method, pack(part), timeout_s))
                if len(answers) == len(part):
                    return answers
                kind, message = "WrongAnswer", f"{len(answers)} answers to {len(part)} requests"
            except grpc.aio.AioRpcError as error:
                kind, message = error.code().name, str(error.details())
            except Exception as error:  # a defect of the port must not lose the batch
                log.exception("a call to Ray Serve failed in an unexpected way")
                kind, message = type(error).__name__, str(error)
            failure = Failure(self.unavailable, kind, message[:512], retryable=True)
            return [failure] * len(part)

        parts = await asyncio.gather(*(one(part) for part in _parts(requests)))
        return [answer for part in parts for answer in part]

    async def _call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        if self._channel is None:
            raise _failed(grpc.StatusCode.CANCELLED, "the client was not started, or is closed")
        if not await self.wait_connected(min(CONNECT_S, timeout_s)):
            message = f"no connection to Serve's ingress at {self._address}"
            raise _failed(grpc.StatusCode.UNAVAILABLE, message)
        call = self._channel.unary_unary(f"/{SERVICE}/{method}")
        sent = (("authorization", f"Bearer {self._token}"),) if self._token else ()
        try:
            answer: bytes = await call(body, timeout=timeout_s, metadata=sent, wait_for_ready=True)
            return answer
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._read_token()  # the cluster was started, with a new one, after us
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _failed(grpc.StatusCode.CANCELLED, "the client was closed") from None

    def _read_token(self) -> None:
        self._token = read_token(self._token_file) or self._token


class ServeVisionExpert(_ServeClient):
    """``streams.ports.VisionExpert`` over the deployment of that name."""

    method, unavailable = SCORE, ReasonCode.EXPERT_UNAVAILABLE

    async def inspect(
        self, requests: Sequence[InspectionRequest], timeout_s: float
    ) -> Sequence[Inspection | Failure]:
        """One answer per request, in order, within ``timeout_s`` seconds; never raises."""
        return await self._ask(requests, timeout_s, pack_images, unpack_inspections)

    async def warm(
        self, product_id: str, version: str, timeout_s: float, station: str = ""
    ) -> str | Failure:
        """The version that every replica holds; replicas that are away are waited for meanwhile."""
        deadline = time.monotonic() + timeout_s
        body = json.dumps({"product": product_id, "station": station}).encode()
        while True:
            left_s = deadline - time.monotonic()
            try:
                said = await self._call(WARM, body, max(left_s, 0.01))
                found = warm_version(
                    ApplicationStatus.model_validate_json(said), product_id, version
                )
            except grpc.aio.AioRpcError as error:
                found = self._not_warm(error)
            except ValueError as error:
                found = Failure(self.unavailable, "WrongAnswer", str(error)[:512])
            left_s = deadline - time.monotonic()
            if isinstance(found, str) or not found.retryable or left_s <= WARM_AGAIN_S:
                return found
            await asyncio.sleep(WARM_AGAIN_S)

    def _not_warm(self, error: grpc.aio.AioRpcError) -> Failure:
        is_old = error.code() is grpc.StatusCode.UNIMPLEMENTED
        said = "it is of an older release, deploy Serve anew" if is_old else str(error.details())
        return Failure(self.unavailable, error.code().name, said[:512], retryable=not is_old)


class ServeClassifier(_ServeClient):
    """``streams.ports.AnomalyClassifier`` over the deployment of that name."""

    method, unavailable = CLASSIFY, ReasonCode.CLASSIFIER_UNAVAILABLE

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        """One answer per request, in order, within ``timeout_s`` seconds; never raises."""
        return await self._ask(requests, timeout_s, pack_requests, unpack_classifications)


def _failed(code: grpc.StatusCode, message: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), message)


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
