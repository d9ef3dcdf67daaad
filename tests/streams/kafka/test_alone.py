"""A record that a topic refuses costs none of those that travel with it."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.envelope import Message
from streams.kafka.alone import send_alone
from streams.kafka.publisher import _send


class StrictProducer(AIOKafkaProducer):  # type: ignore[misc]
    """Takes batches as a broker does: whole, or not at all."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self._txn_manager = None  # without numbers
        self.refuses = refuses
        self.taken: list[bytes] = []
        self.partitions: list[int] = []
        self._batch: list[tuple[bytes, asyncio.Future[None]]] = []

    async def send_and_wait(self, topic: str, value: bytes, **_: object) -> None:
        """Those of one turn of the loop are one batch."""
        done = asyncio.get_running_loop().create_future()
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._flush)
        self._batch.append((value, done))
        await done

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1 << 20, 0)

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2, 3}

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> "asyncio.Future[None]":
        assert batch.record_count() == 1
        self.partitions.append(partition)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        body = bytes(batch._build())
        if b"poison" in body:
            done.set_exception(MessageSizeTooLargeError())
        else:
            self.taken.append(body)
            done.set_result(None)
        return done

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        refused = any(b"poison" in value for value, _ in batch)
        for value, done in batch:
            if self.refuses is not None:
                done.set_exception(self.refuses)
            elif refused:
                done.set_exception(MessageSizeTooLargeError())
            else:
                self.taken.append(value)
                done.set_result(None)

    def __del__(self) -> None: ...


def message(value: bytes) -> Message:
    return Message(b"line1/station1", value, (("ce_id", b"x"),))


@pytest.mark.asyncio
async def test_those_that_shared_its_batch_are_sent_again_alone() -> None:
    producer = StrictProducer()
    values = [b"first", b"poison", b"third"]
    results = await asyncio.gather(
        *(_send(producer, "t", message(v)) for v in values), return_exceptions=True
    )
    assert [type(r) for r in results] == [type(None), MessageSizeTooLargeError, type(None)]
    assert [v for v in values if any(v in body for body in producer.taken)] == [b"first", b"third"]


@pytest.mark.asyncio
async def test_a_missing_right_is_the_topics_and_nothing_is_sent_again() -> None:
    producer = StrictProducer(refuses=TopicAuthorizationFailedError("t"))
    with pytest.raises(TopicAuthorizationFailedError):
        await _send(producer, "t", message(b"a"))
    assert producer.partitions == []


@pytest.mark.asyncio
async def test_a_key_keeps_its_partition() -> None:
    producer = StrictProducer()
    for _ in range(3):
        await send_alone(producer, "t", message(b"a"))
    await send_alone(producer, "t", Message(b"k", b"v", (), partition=3))
    assert len(set(producer.partitions[:3])) == 1
    assert producer.partitions[3] == 3
