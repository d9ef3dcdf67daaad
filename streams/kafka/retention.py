"""What a role's topics lost while the role was away: messages deleted before it had read them.

A consumer group that comes back after its topic's retention has passed goes on, without a word, at
the oldest message that is left. Here the difference is found first, so that it can be put on
record with its offsets.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import TopicPartition

from streams.codes import LOST_TO_RETENTION, Stage
from streams.envelope import Message
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.delivery import Delivery, dead_letter
from streams.kafka.offsets import committed_offsets
from streams.kafka.reader import partitions_of
from streams.log import Log
from streams.topics import Topic


@dataclass(frozen=True)
class LostSpan:
    """Messages that nobody in the group will ever read."""

    topic: str
    partition: int
    first: int
    """Offset of the first of them: where the group would have gone on."""
    last: int
    """Offset of the last of them, inclusive."""

    @property
    def count(self) -> int:
        """How many offsets: of a topic whose producers use transactions, fewer messages."""
        return self.last - self.first + 1

    def letter(self, stage: Stage, now: datetime) -> Message:
        """The dead letter that keeps the span; found again, it is the same letter."""
        error = (
            f"{self.count} messages, offsets {self.first} to {self.last}, were deleted before the "
            f"role {stage.value} had read them: it was away longer than the topic's retention"
        )
        place = Delivery(self.topic, self.partition, self.first, b"", b"", ())
        return dead_letter(place, stage, LOST_TO_RETENTION, error, now)


def lost_spans(
    committed: Mapping[TopicPartition, int | None], oldest: Mapping[TopicPartition, int]
) -> tuple[LostSpan, ...]:
    """The spans between where a group would go on and the oldest offset that is left.

    Args:
        committed: the offset that the group reads next, None where it has read nothing yet.
        oldest: the first offset that the broker still has.

    >>> a, b = TopicPartition("a", 0), TopicPartition("b", 0)
    >>> [(s.first, s.last) for s in lost_spans({a: 40, b: None}, {a: 100, b: 7})]
    [(40, 99)]
    """
    return tuple(
        LostSpan(place.topic, place.partition, read, oldest[place] - 1)
        for place, read in sorted(committed.items())
        if read is not None and read < oldest.get(place, 0)
    )


async def find_lost(
    connection: KafkaConnection, group: str, topics: Sequence[Topic], log: Log
) -> tuple[LostSpan, ...]:
    """What the group lost in these topics since it read last; called before it is joined.

    A broker that does not answer is said in the log, and nothing is found.
    """
    consumer = connection.consumer(group)
    try:
        async with asyncio.timeout(3 * connection.request_timeout_s):
            await consumer.start()
            places = await partitions_of(consumer, [topic.name for topic in topics])
            consumer.assign(places)
            committed = await committed_offsets(consumer, places)
            return lost_spans(committed, await consumer.beginning_offsets(places))
    except DOWN as error:
        log("nobody says whether messages were lost to retention", error=repr(error))
        return ()
    finally:
        await consumer.stop()
