"""The twin of ``streams.ports.Publisher``."""

from dataclasses import dataclass, field

from streams.envelope import Message, from_message
from streams.errors import UnavailableError
from streams.events import Event
from streams.failures import Cause, failed
from streams.topics import ALL, MAX_MESSAGE_BYTES


@dataclass
class TwinPublisher:
    """Keeps what is sent; can be down, also for a number of sends only, and can refuse topics."""

    down: bool = False
    down_for: int = 0
    refuses: dict[str, Cause] = field(default_factory=dict)
    """What it says to each message of a topic."""
    most_bytes: int = MAX_MESSAGE_BYTES
    sent: list[tuple[str, Message]] = field(default_factory=list)

    async def send(self, topic: str, message: Message) -> None:
        if self.down or self.down_for > 0:
            self.down_for -= 1
            raise UnavailableError("the broker is away")
        if cause := self.refuses.get(topic):
            raise failed(cause, f"{topic}: {cause.value}")
        if len(message.value) > self.most_bytes:
            raise failed(Cause.TOO_LARGE, f"{topic}: {len(message.value)} bytes")
        self.sent.append((topic, message))

    def of(self, topic: str) -> list[tuple[Event, bytes]]:
        """Decoded events of one topic, with their values."""
        model = next(t.event for t in ALL if t.name == topic)
        return [
            (from_message(model, m.value, m.headers), m.value) for t, m in self.sent if t == topic
        ]
