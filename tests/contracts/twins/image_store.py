"""The twin of ``streams.ports.ImageStore``: a dictionary."""


class InMemoryImageStore:
    """``streams.ports.ImageStore`` in memory; ``objects`` shows what is kept, and as what."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        self.objects[key] = (bytes(body), content_type)

    async def get(self, key: str) -> bytes:
        return self.objects[key][0]

    async def exists(self, key: str) -> bool:
        return key in self.objects

    async def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def close(self) -> None:
        """There is nothing to let go of."""
