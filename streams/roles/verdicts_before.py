"""The verdicts that stand in ``andon.shots`` before those that are delivered."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from streams.errors import EventError
from streams.kafka.connection import KafkaConnection
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.roles.join import read_verdict
from streams.topics import SHOTS


@dataclass(frozen=True)
class VerdictsBefore:
    """Reads a piece of a partition again.

    Args:
        connection: to the broker.
        most: so many verdicts are read. Those of one part lie near each other in the topic.
    """

    connection: KafkaConnection
    most: int = 1024

    async def parts(self, partition: int, offset: int) -> dict[int, UUID]:
        """The part of each verdict before this offset, by the verdict's own.

        Raises:
            UnavailableError: no broker answers.
        """
        place = SHOTS.name, partition
        reader = PartitionReader(self.connection, {SHOTS.name: BEGINNING})
        begin, found = {place: max(offset - self.most, 0)}, dict[int, UUID]()
        async for batch in reader.between(begin, {place: offset}):
            for one in batch:
                with suppress(EventError):  # a dead letter by now
                    found[one.offset] = read_verdict(one).part_identity
        return found
