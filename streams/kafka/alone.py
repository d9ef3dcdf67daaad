"""Sending a message in a batch of its own.

Producers send what waits for a partition as one batch, and brokers take a batch or refuse it: one
record that a topic does not take costs those beside it. A message whose batch was refused is
therefore sent once more alone, and only then believed to be the one that is meant.

An idempotent producer numbers its records in each partition. A batch that is refused has taken its
numbers with it, and the broker takes none that leaves a hole: without ``renumber`` the partition
would get nothing from this producer any more.
"""

from aiokafka import AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.transaction_manager import TransactionManager

from streams.envelope import Message
from streams.topics import MAX_MESSAGE_BYTES


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
    try:
        sent = await producer.send_batch(batch, topic, partition=partition)
        await sent
    except BrokerResponseError:
        renumber(producer)
        raise


def renumber(producer: AIOKafkaProducer) -> None:
    """After a refused batch: number what comes next from 0, under a new identity.

    The producer asks the broker for the identity before it sends again. What it has on its way
    keeps the old one, so that a repeated batch is still known as such. aiokafka has no public way.
    """
    numbers = producer._txn_manager
    if numbers is None or not numbers.has_pid():
        return
    fresh = TransactionManager(None, numbers.transaction_timeout_ms)
    for name in ("_pid_and_epoch", "_pid_waiter", "_sequence_numbers"):
        setattr(numbers, name, getattr(fresh, name))
