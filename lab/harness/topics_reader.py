"""Read whole topics from their beginning, without a group: an auditor's view of Kafka."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from lab.harness.reckoning import Key, OnKafka
from streams import topics
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Acknowledgement, Alert, Anomaly, DeadLetter, Decision, Frame
from streams.kafka.reader import partitions_of

IDLE_S = 20.0
"""Give up when a broker that has more gives nothing for this long."""


async def read_topic(bootstrap_servers: str, names: Sequence[str]) -> AsyncIterator[ConsumerRecord]:
    """Every record of the topics as of now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=topics.MAX_FETCH_BYTES,
        max_partition_fetch_bytes=topics.MAX_FETCH_BYTES,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, names)
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        left = {p for p in partitions if ends[p] > begins[p]}
        while left:
            batch = await asyncio.wait_for(
                consumer.getmany(*left, timeout_ms=1000, max_records=500), IDLE_S
            )
            for records in batch.values():
                for record in records:
                    yield record
            for partition in list(left):
                if await consumer.position(partition) >= ends[partition]:
                    left.discard(partition)
    finally:
        await consumer.stop()


async def read_line(bootstrap_servers: str) -> OnKafka:
    """What frames, anomalies, decisions, acknowledgements, alerts and dead letters there are."""
    frames: dict[Key, list[Frame]] = {}
    decisions: dict[object, Decision] = {}
    acks: dict[object, Acknowledgement] = {}
    anomalies: dict[object, Anomaly] = {}
    alerts: dict[object, Alert] = {}
    dead: Counter[str] = Counter()
    names = [topics.FRAMES, topics.ANOMALIES, topics.DECISIONS, topics.ACKS]
    names += [topics.ALERTS, topics.DEAD]
    async for record in read_topic(bootstrap_servers, [t.name for t in names]):
        try:
            match record.topic:
                case topics.FRAMES.name:
                    frame = from_message(Frame, b"", record.headers)
                    frames.setdefault((frame.plc_boot_id, frame.trigger_seq), []).append(frame)
                case topics.ANOMALIES.name:
                    anomaly = from_message(Anomaly, b"", record.headers)
                    anomalies[anomaly.frame.frame_id] = anomaly
                case topics.DECISIONS.name:
                    decision = from_message(Decision, record.value, record.headers)
                    decisions.setdefault(decision.result_id, decision)
                case topics.ACKS.name:
                    ack = from_message(Acknowledgement, record.value, record.headers)
                    acks[(ack.result_id, ack.outcome)] = ack
                case topics.ALERTS.name:
                    alert = from_message(Alert, record.value, record.headers)
                    alerts[alert.alert_id] = alert
                case _:
                    letter = from_message(DeadLetter, b"", record.headers)
                    dead[f"{letter.stage.value} {letter.error_type}"] += 1
        except EventError as error:
            dead[f"{record.topic} {type(error).__name__}"] += 1
    return OnKafka(
        frames={key: found[0].frame_id for key, found in frames.items()},
        decisions=list(decisions.values()),
        acknowledgements=list(acks.values()),
        anomalies={a.frame.frame_id for a in anomalies.values()},
        dead_letters=dict(dead),
        alerts=list(alerts.values()),
    )
