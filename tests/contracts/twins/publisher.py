"""The twin of ``streams.ports.Publisher``."""

from dataclasses import dataclass, field

from streams.envelope import Message, from_message
from streams.errors import UnavailableError
from streams.events import Event
from streams.topics import ALL


@dataclass
class TwinPublisher:
    """Keeps what is sent; can be down, also for a number of sends only."""

    down: bool = False
    down_for: int = 0
    sent: list[tuple[str, Message]] = field(default_factory=list)

    async def send(self, topic: str, message: Message) -> None:
        if self.down or self.down_for > 0:
            self.down_for -= 1
            raise UnavailableError("the broker is away")
        self.sent.append((topic, message))

    def of(self, topic: str) -> list[tuple[Event, bytes]]:
        """Decoded events of one topic, with their values."""
        model = next(t.event for t in ALL if t.name == topic)
        return [
            (from_message(model, m.value, m.headers), m.value) for t, m in self.sent if t == topic
        ]
