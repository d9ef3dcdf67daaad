"""Messages that no reader should end of: what any client on the network can send."""

import asyncio
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.kafka.connection import KafkaConnection
from streams.topics import ALL, MAX_MESSAGE_BYTES

_TYPES: Final = {topic.name: topic.event.event_type for topic in ALL}
_NUMBERS: Final = (
    b'{"class_id": 2147483648, "score": 1e39, "trigger_seq": -1, "decided_at": "0001"}'
)


def poisonous(topic: str) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """Key, value and headers of some messages that are no events of this topic."""
    kind = [("ce_type", _TYPES[topic].encode()), ("ce_specversion", b"1.0"), ("ce_id", b"x")]
    return [
        (b"line1/station1", b"[" * 200_000, kind),
        (b"line1/station1", b'{"a":' * 50_000, kind),
        (b"line1/station1", _NUMBERS, kind),
        (b"\xff\xfe", b"\xff" * 1000, kind),
        (None, b"", []),
        (b"", b"", [("ce_type", b"\xff\xff"), ("content-type", b"")]),
        (b"k", b"{}", [("h", b"\xff" * (1 << 20))]),
        (b"k", b"x" * (MAX_MESSAGE_BYTES - 4096), kind),
    ]


async def send_poison(connection: KafkaConnection) -> int:
    """Send some of each topic; how many the broker took."""
    producer: AIOKafkaProducer = connection.producer()
    await producer.start()
    taken = 0
    try:
        for topic in _TYPES:
            for key, value, headers in poisonous(topic):
                try:
                    async with asyncio.timeout(20):
                        await producer.send_and_wait(topic, value, key=key, headers=headers)
                    taken += 1
                except (KafkaError, TimeoutError):  # the broker is the first to refuse
                    continue
    finally:
        await producer.stop()
    return taken
