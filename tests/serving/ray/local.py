"""The worker's client and the actor joined without Ray: same methods, same bytes."""

import asyncio

from serving.ray.bridge import METHODS
from serving.ray.channel import CallFailed, Channel
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.client import ServeClassifier
from serving.ray.settings import CLASSIFIER


class LocalChannel(Channel):
    """Calls an actor in this event loop by the bridge's own table of methods."""

    def __init__(self, actor: ClassifierDeployment) -> None:
        super().__init__("127.0.0.1:1", "andon")
        self._actor = actor
        self.down = False

    async def call(self, target: int, body: bytes, timeout_s: float) -> bytes:
        """See ``Channel``."""
        if self.down:
            raise CallFailed("RayUnreachable", "the test took the cluster away")
        deployment, method = METHODS[target]
        assert deployment == CLASSIFIER
        try:
            async with asyncio.timeout(timeout_s):
                answer: bytes = await getattr(self._actor, method)(body, timeout_s)
                return answer
        except TimeoutError:
            raise CallFailed("TimeoutError", "no answer in time") from None


def client_of(actor: ClassifierDeployment) -> tuple[ServeClassifier, LocalChannel]:
    """A client of ``actor``, and what it calls through."""
    channel = LocalChannel(actor)
    return ServeClassifier("127.0.0.1:1", timeout_s=60.0, channel=channel), channel
