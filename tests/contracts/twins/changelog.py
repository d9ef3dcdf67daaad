"""The twin of ``streams.ports.Changelog``."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.envelope import from_message
from streams.errors import EventError, UnavailableError
from streams.events import CountedPart
from streams.topics import COUNTED
from tests.contracts.twins.publisher import TwinPublisher


@dataclass
class TwinChangelog:
    """Keeps the newest part per key of what a twin publisher was sent."""

    publisher: TwinPublisher
    down_for: int = 0
    reads: list[int] = field(default_factory=list)

    async def read(self, partition: int) -> Iterable[CountedPart]:
        self.reads.append(partition)
        if self.down_for > 0:
            self.down_for -= 1
            raise UnavailableError("the broker is away")
        found: dict[bytes, CountedPart] = {}
        for topic, message in self.publisher.sent:
            if topic != COUNTED.name or message.partition != partition:
                continue
            try:
                part = from_message(CountedPart, message.value, message.headers)
            except EventError:
                continue
            if message.key not in found or found[message.key].number <= part.number:
                found[message.key] = part
        return found.values()
