"""Reading the limits' changelog to its end: what was counted before a partition was assigned."""

from collections.abc import Iterable
from dataclasses import dataclass

from streams.envelope import from_message
from streams.errors import EventError
from streams.events import CountedPart
from streams.kafka.connection import KafkaConnection
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.log import Log
from streams.topics import COUNTED


@dataclass(frozen=True)
class KafkaChangelog:
    """``Changelog`` over ``andon.counted``."""

    connection: KafkaConnection
    """Its ``request_timeout_s`` is the longest wait for the next records, too."""
    log: Log
    """Told about records that cannot be read."""

    async def read(self, partition: int) -> Iterable[CountedPart]:
        """The later part of a slot stands, even if a worker that was replaced wrote after it."""
        slots: dict[bytes, CountedPart] = {}
        reader = PartitionReader(self.connection, {COUNTED.name: BEGINNING})
        async for records in reader.read_to_end([partition]):
            for record in records:
                try:
                    part = from_message(CountedPart, record.value, record.headers)
                except EventError as error:
                    self.log(
                        "a counted part cannot be read", offset=record.offset, error=str(error)
                    )
                    continue
                known = slots.get(record.key)
                if known is None or known.number <= part.number:
                    slots[record.key] = part
        return slots.values()
