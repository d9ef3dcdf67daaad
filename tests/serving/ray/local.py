"""The ingress and what stands behind it in this event loop: the workers' way in, without Ray."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from infra.stack.process import free_port
from serving.ray.client import ServeClassifier, ServeVisionExpert
from serving.ray.ingress import IngressDeployment
from serving.ray.settings import CLASSIFIER, VISION

Client = TypeVar("Client", ServeVisionExpert, ServeClassifier)


@dataclass
class LocalHandle:
    """As much of Serve's handle as the ingress uses, over an object of this process."""

    actor: object
    method: str = ""

    def options(
        self,
        method_name: str = "",
        _by_reference: bool = False,
        multiplexed_model_id: str = "",
    ) -> "LocalHandle":
        return LocalHandle(self.actor, method_name or self.method)

    async def remote(self, *arguments: object) -> object:
        method: Callable[..., Awaitable[object]] = getattr(self.actor, self.method)
        return await method(*arguments)


@asynccontextmanager
async def served(
    vision: object | None,
    classifier: object | None = None,
    host: str = "127.0.0.1",
    count: Callable[[], Mapping[str, int]] = lambda: {VISION: 1, CLASSIFIER: 1},
    healthy: bool = False,
) -> AsyncIterator[str]:
    """The address at which ``vision`` and ``classifier`` can be called for as long as it lasts."""
    address = f"{host}:{free_port()}"
    ingress = IngressDeployment.__new__(IngressDeployment)
    behind = LocalHandle(classifier) if classifier is not None else None
    await ingress.__init__(  # type: ignore[misc]
        address, LocalHandle(vision), behind, count
    )
    if healthy:
        await ingress.check_health()
    try:
        yield address
    finally:
        await ingress.close()
        # gRPC's own accepting task ends after its server has
        ending = [t for t in asyncio.all_tasks() if "AioServer" in repr(t.get_coro())]
        if ending:
            await asyncio.wait(ending, timeout=10)


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """The client, connecting, for as long as it lasts."""
    await client.start()
    try:
        yield client
    finally:
        await client.close()
