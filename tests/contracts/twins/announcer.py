"""The twin of ``streams.ports.Announcer``."""

from dataclasses import dataclass, field

from streams.failures import Cause, TransientError, failed


@dataclass
class TwinAnnouncer:
    """Keeps what is announced; can be down, also for a number of messages only."""

    down: bool = False
    down_for: int = 0
    most_bytes: int = 1024
    announced: list[tuple[str, bytes]] = field(default_factory=list)

    async def announce(self, topic: str, payload: bytes) -> None:
        if self.down or self.down_for > 0:
            self.down_for -= 1
            raise TransientError(Cause.AWAY, "the broker is away")
        if len(payload) > self.most_bytes:
            raise failed(Cause.TOO_LARGE, f"{topic}: {len(payload)} bytes")
        if "#" in topic or "+" in topic:
            raise failed(Cause.INVALID, f"{topic}: it has a wildcard")
        self.announced.append((topic, payload))
