"""Reading the limits' changelog to its end: what was counted before a partition was assigned."""

from collections.abc import Iterable

from streams.envelope import from_message
from streams.errors import EventError
from streams.events import CountedPart
from streams.kafka.connection import KafkaConnection
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.log import Log
from streams.topics import COUNTED


class KafkaChangelog:
    """``Changelog`` over ``andon.counted``.

    Args:
        connection: its ``request_timeout_s`` is the longest wait for the next records, too.
        log: told about records that cannot be read.
    """

    def __init__(self, connection: KafkaConnection, log: Log) -> None:
        self._connection = connection
        self._log = log

    async def read(self, partition: int) -> Iterable[CountedPart]:
        """The later part of a slot stands, even if a worker that was replaced wrote after it."""
        slots: dict[bytes, CountedPart] = {}
        reader = PartitionReader(self._connection, {COUNTED.name: BEGINNING})
        async for records in reader.read_to_end([partition]):
            for record in records:
                try:
                    part = from_message(CountedPart, record.value, record.headers)
                except EventError as error:
                    self._log(
                        "a counted part cannot be read", offset=record.offset, error=str(error)
                    )
                    continue
                known = slots.get(record.key)
                if known is None or known.number <= part.number:
                    slots[record.key] = part
        return slots.values()
