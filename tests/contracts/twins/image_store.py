"""The twin of ``streams.ports.ImageStore``: a dictionary."""

from streams.failures import Cause, PermanentError
from streams.ports import MAX_OBJECT_BYTES


class InMemoryImageStore:
    """``streams.ports.ImageStore`` in memory; ``objects`` shows what is kept, and as what."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        self.objects[key] = (bytes(body), content_type)

    async def get(self, key: str, at_most: int = MAX_OBJECT_BYTES) -> bytes:
        body = self.objects[key][0]
        if len(body) > at_most:
            raise PermanentError(Cause.TOO_LARGE, f"{key} has more than {at_most} bytes")
        return body

    async def exists(self, key: str) -> bool:
        return key in self.objects

    async def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def close(self) -> None:
        """There is nothing to let go of."""
