"""The twin of ``streams.ports.ImageStore``: a dictionary."""

from streams.failures import Cause, PermanentError, failed
from streams.ports import MAX_OBJECT_BYTES


class InMemoryImageStore:
    """``streams.ports.ImageStore`` in memory; ``objects`` shows what is kept, and as what."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.refuses: dict[str, Cause] = {}
        """What it says to each call for a key."""

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        self._ask(key)
        self.objects[key] = (bytes(body), content_type)

    async def get(self, key: str, at_most: int = MAX_OBJECT_BYTES) -> bytes:
        self._ask(key)
        body = self.objects[key][0]
        if len(body) > at_most:
            raise PermanentError(Cause.TOO_LARGE, f"{key} has more than {at_most} bytes")
        return body

    async def exists(self, key: str) -> bool:
        self._ask(key)
        return key in self.objects

    async def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _ask(self, key: str) -> None:
        if cause := self.refuses.get(key):
            raise failed(cause, f"{key}: {cause.value}")
