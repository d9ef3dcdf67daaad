"""The way into the application: a gRPC server that hands each call to a deployment.

Workers need no Ray to call it: bytes in, bytes out (``serving.ray.wire``), one method of
``andon.Serving`` for each deployment. Serve's own gRPC proxy would do the same, but it listens on
every interface and asks nobody for a token (ADR 0044).
"""

import warnings
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import grpc.aio

from serving.errors import ServeConfigError
from serving.ray.wire import CLASSIFY, GRPC_LIMITS, SCORE, SERVICE

with warnings.catch_warnings():
    # Ray 2.60's schema module uses a pydantic call that pydantic deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
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
Forward = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


class IngressDeployment:
    """A server that refuses calls without the cluster's token where ``RAY_AUTH_MODE=token``.

    Args:
        address: host:port to listen on.
        vision: handle of the vision expert's deployment.
        classifier: handle of the classifier's, where there is one.

    Raises:
        ServeConfigError: it would listen beyond this host, and Ray asks nobody for a token.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, address: str, vision: DeploymentHandle, classifier: DeploymentHandle | None = None
    ) -> None:
        if not is_token_auth_enabled() and address.rpartition(":")[0] not in LOOPBACK:
            raise ServeConfigError(
                f"ingress {address}: other hosts could call it, and this Ray asks nobody for a "
                "token; start Ray with RAY_AUTH_MODE=token, or listen on 127.0.0.1"
            )
        calls = {SCORE: _forward(vision, "score_many")}
        if classifier is not None:
            calls[CLASSIFY] = _forward(classifier, "classify_many")
        handlers = {n: grpc.unary_unary_rpc_method_handler(call) for n, call in calls.items()}
        # with the check of the token that Ray gives the replicas' own servers
        self._server = create_grpc_server_with_interceptors(options=_OPTIONS, asynchronous=True)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers),)
        )
        self._server.add_insecure_port(address)
        await self._server.start()

    async def close(self) -> None:
        """Stop; calls under way fail."""
        await self._server.stop(None)


def _forward(handle: DeploymentHandle, method: str) -> Forward:
    # gRPC to the replica instead of Ray's task path: 10.2 instead of 14.2 ms of CPU per call
    call = handle.options(method_name=method, _by_reference=False)

    async def forward(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        left = context.time_remaining()
        if left is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a call needs a deadline")
        try:
            answer: bytes = await call.remote(body, left)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the caller asks again
            message = f"{type(error).__name__}: {str(error).strip()[-512:]}"
            await context.abort(grpc.StatusCode.UNAVAILABLE, message)
        return answer

    return forward
