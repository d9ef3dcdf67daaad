"""The spans of a message: it is sent, and it is on its way."""

import time

from streams.kafka.delivery import Delivery
from streams.tracing.context import TraceContext
from streams.tracing.spans import Attribute, Span, SpanKind, wall_s


def on_its_way(sender: TraceContext, record: Delivery) -> Span:
    """The way of a message through Kafka, from its sender to its arrival here."""
    arrived_s = wall_s(record.arrived_s)
    sent_s = arrived_s if record.produced_s is None else min(record.produced_s, arrived_s)
    said: dict[str, Attribute] = {
        "messaging.system": "kafka",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    name = f"{record.topic} on its way"
    own, kind = sender.child(), SpanKind.CONSUMER
    return Span(own, sender.span_id, name, sent_s, arrived_s, kind, said)


def sending(own: TraceContext, above_id: int, topic: str, began_s: float) -> Span:
    """The sending of a message that Kafka has by now."""
    said: dict[str, Attribute] = {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
    }
    ended_s = max(time.time(), began_s)
    return Span(own, above_id, f"send {topic}", began_s, ended_s, SpanKind.PRODUCER, said)
