"""Sending a message in a batch of its own.

Producers send what waits for a partition as one batch, and brokers take a batch or refuse it: one
record that a topic does not take costs those beside it. A message whose batch was refused is
therefore sent once more alone, and only then believed to be the one that is meant.
"""

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from streams.envelope import Message
from streams.failures import Cause
from streams.topics import MAX_MESSAGE_BYTES

TOGETHER = (Cause.TOO_LARGE, Cause.INVALID)
"""What a broker says of a whole batch; a missing right is the topic's, whoever is beside."""


async def send_alone(producer: AIOKafkaProducer, topic: str, message: Message) -> None:
    """Return once the broker has it. Raises what the client raises."""
    batch = producer.create_batch()
    batch.append(
        key=message.key, value=message.value, timestamp=None, headers=list(message.headers)
    )
    if batch.size() > MAX_MESSAGE_BYTES:
        raise MessageSizeTooLargeError(
            f"{batch.size()} bytes, at most {MAX_MESSAGE_BYTES} are sent"
        )
    batch.close()
    partition = message.partition
    if partition is None:
        known = sorted(await producer.partitions_for(topic))
        partition = DefaultPartitioner()(message.key, known, known)
    sent = await producer.send_batch(batch, topic, partition=partition)
    await sent
