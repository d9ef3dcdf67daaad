"""The way into the application: a gRPC server that hands each call to a deployment.

Workers need no Ray to call it: bytes in, bytes out (``serving.ray.wire``), one method of
``andon.Serving`` for each deployment, ``Status``, which says what every replica holds, and
``Warm``, which has every replica load what is in force for a product before it says so. Serve's own
gRPC proxy would do the same, but it listens on every interface and asks nobody for a token (ADR
0044).
"""

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import grpc
import grpc.aio

from serving.errors import ServeConfigError, ServingError
from serving.ray.replicas import STATUS, ApplicationStatus, ReplicaStatus
from serving.ray.routing import score_by_product
from serving.ray.settings import CLASSIFIER, VISION
from serving.ray.wire import CLASSIFY, GRPC_LIMITS, SCORE, SERVICE, WARM

with warnings.catch_warnings():
    # Ray 2.60's schema module uses a pydantic call that pydantic deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve
    from ray._private.authentication.authentication_utils import is_token_auth_enabled
    from ray._private.grpc_utils import create_grpc_server_with_interceptors
    from ray.serve.handle import DeploymentHandle

MOST_CALLS: Final = 256
"""Calls under way on one connection; more wait in the client, within their deadlines."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_OPTIONS: Final = (
    *GRPC_LIMITS,
    # the clients' pings find out that this host is gone
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_concurrent_streams", MOST_CALLS),
)
ROUNDS: Final = 12
"""Serve chooses which replica answers: so often every replica is hoped to, twice at once each."""
ONE_STATUS_S: Final = 10.0
_UNKNOWN: Final = (
    "Serve does not say how many replicas there should be, as after a deployment that failed: "
    "`andon doctor ray` says why, and `andon deploy` deploys again"
)
Count = Callable[[], Mapping[str, int]]
Forward = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


class IngressDeployment:
    """A server that refuses calls without the cluster's token where ``RAY_AUTH_MODE=token``.

    Args:
        address: host:port to listen on.
        vision: handle of the vision expert's deployment.
        classifier: handle of the classifier's, where there is one.
        count: how many replicas each deployment should have.
        by_product: each product is scored by one replica of the vision expert.

    Raises:
        ServeConfigError: it would listen beyond this host, and Ray asks nobody for a token.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        address: str,
        vision: DeploymentHandle,
        classifier: DeploymentHandle | None = None,
        count: Count | None = None,
        by_product: bool = False,
    ) -> None:
        if not is_token_auth_enabled() and address.rpartition(":")[0] not in LOOPBACK:
            raise ServeConfigError(
                f"ingress {address}: other hosts could call it, and this Ray asks nobody for a "
                "token; start Ray with RAY_AUTH_MODE=token, or listen on 127.0.0.1"
            )
        calls = {SCORE: _forward(vision, "score_many", by_product)}
        behind = {VISION: vision}
        if classifier is not None:
            calls[CLASSIFY] = _forward(classifier, "classify_many")
            behind[CLASSIFIER] = classifier
        self._known = known = _KnownCounts(count or _count_replicas)
        calls[STATUS] = _status(behind, known)
        calls[WARM] = _warm(vision, known, by_product)
        handlers = {n: grpc.unary_unary_rpc_method_handler(call) for n, call in calls.items()}
        # with the check of the token that Ray gives the replicas' own servers
        self._server = create_grpc_server_with_interceptors(options=_OPTIONS, asynchronous=True)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers),)
        )
        self._server.add_insecure_port(address)
        await self._server.start()

    async def check_health(self) -> None:
        """Learn how many replicas there are, before anybody asks: always healthy."""
        if not self._known.counts:
            with suppress(Exception):  # it is asked again with the next check
                async with asyncio.timeout(ONE_STATUS_S):
                    await asyncio.to_thread(self._known)

    async def close(self) -> None:
        """Stop; calls under way fail."""
        await self._server.stop(None)


def _forward(handle: DeploymentHandle, method: str, by_product: bool = False) -> Forward:
    # gRPC to the replica instead of Ray's task path: 10.2 instead of 14.2 ms of CPU per call
    call = handle.options(method_name=method, _by_reference=False)

    async def forward(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        left = context.time_remaining()
        if left is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a call needs a deadline")
        try:
            if by_product:
                return await score_by_product(
                    body,
                    lambda product, part: call.options(multiplexed_model_id=product).remote(
                        part, left
                    ),
                )
            answer: bytes = await call.remote(body, left)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the caller asks again
            message = f"{type(error).__name__}: {str(error).strip()[-512:]}"
            await context.abort(grpc.StatusCode.UNAVAILABLE, message)
        return answer

    return forward


def _status(behind: Mapping[str, DeploymentHandle], count: Count) -> Forward:
    async def status(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            expected = dict(await asyncio.to_thread(count))
            found = [
                await _ask_all(h.options(method_name="status", _by_reference=False), n, expected)
                for n, h in behind.items()
            ]
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, nothing is known
            message = f"{type(error).__name__}: {str(error).strip()[-512:]}"
            await context.abort(grpc.StatusCode.UNAVAILABLE, message)
        replicas = [status for of_one in found for status in of_one.values()]
        answer = ApplicationStatus(replicas=replicas, expected=expected)
        return answer.model_dump_json().encode()

    return status


def _warm(vision: DeploymentHandle, count: Count, by_product: bool) -> Forward:
    call = vision.options(method_name="warm", _by_reference=False)

    async def warm(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        left = context.time_remaining()
        try:
            told = json.loads(body)
            product, station = str(told["product"]), str(told.get("station", ""))
            expected = dict(await asyncio.to_thread(count))
            each_s = left or ONE_STATUS_S
            asked = (product, "", False) if by_product else (product, station)
            found = await _ask_all(call, VISION, expected, *asked, each_s=each_s)
            if by_product:
                await call.options(multiplexed_model_id=product).remote(product, station)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, nothing is known
            message = f"{type(error).__name__}: {str(error).strip()[-512:]}"
            await context.abort(grpc.StatusCode.UNAVAILABLE, message)
        answer = ApplicationStatus(replicas=list(found.values()), expected=expected)
        return answer.model_dump_json().encode()

    return warm


async def _ask_all(
    call: DeploymentHandle,
    name: str,
    expected: Mapping[str, int],
    *arguments: str | bool,
    each_s: float = ONE_STATUS_S,
) -> dict[str, ReplicaStatus]:
    """Each replica's status; Serve has no way to call every replica, so they are called until as
    many different ones have answered as there should be.
    """
    count = expected.get(name, 1)

    async def one() -> ReplicaStatus | None:
        try:
            async with asyncio.timeout(each_s):
                answer = await call.remote(*arguments)
        except Exception:  # noqa: BLE001 - a replica that cannot answer is missing
            return None
        return ReplicaStatus.model_validate({**answer, "deployment": name})

    found: dict[str, ReplicaStatus] = {}
    for _ in range(ROUNDS):
        for status in await asyncio.gather(*(one() for _ in range(2 * count))):
            if status is not None:
                found[status.replica] = status
        if len(found) >= count:
            break
    return found


class _KnownCounts:
    """How many replicas there should be; where Serve names no deployment, as many as before.

    It names none after a deployment that failed, though the replicas of before go on.

    Args:
        count: asks Serve.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self.counts: dict[str, int] = {}

    def __call__(self) -> Mapping[str, int]:
        """By deployment.

        Raises:
            ServingError: Serve names none, and never did.
        """
        self.counts = dict(self._count()) or self.counts
        if not self.counts:
            raise ServingError(_UNKNOWN)
        return self.counts


def count_classifiers() -> int:
    """How many classifiers there are, seen from one of them.

    Raises:
        ServingError: Serve does not say it.
    """
    found = _count_replicas()
    if CLASSIFIER not in found:
        raise ServingError(_UNKNOWN)
    return found[CLASSIFIER]


def _count_replicas() -> Mapping[str, int]:
    """Replicas of each deployment of this application, those that still start included."""
    name = serve.get_replica_context().app_name
    deployments = serve.status().applications[name].deployments
    gone = ("STOPPING",)
    return {
        deployment: sum(n for state, n in found.replica_states.items() if state not in gone)
        for deployment, found in deployments.items()
    }
