"""Read whole topics from their beginning, without a group: an auditor's view of Kafka."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from lab.harness.balance import OnKafka
from streams.envelope import from_message
from streams.errors import EventError
from streams.events import Acknowledgement, Alert, Anomaly, DeadLetter, Decision, Event, Frame
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.kafka.security import KafkaSecurity
from streams.topics import ACKS, ALERTS, ANOMALIES, DEAD, DECISIONS, FRAMES

IDLE_S = 20.0
"""Give up when a broker that has more gives nothing for this long."""
EVENTS: Mapping[str, type[Event]] = {
    topic.name: topic.event for topic in (FRAMES, ANOMALIES, DECISIONS, ACKS, ALERTS, DEAD)
}
E = TypeVar("E", bound=Event)


async def read_topic(
    bootstrap_servers: str, names: Sequence[str], security: KafkaSecurity | None = None
) -> AsyncIterator[Delivery]:
    """Every record of the topics as of now."""
    connection = KafkaConnection(
        bootstrap_servers,
        request_timeout_s=IDLE_S,
        fetch_max_wait_ms=50,
        security=security or KafkaSecurity(),
    )
    reader = PartitionReader(connection, dict.fromkeys(names, BEGINNING))
    async for records in reader.read_to_end():
        for record in records:
            yield record


async def read_line(bootstrap_servers: str, security: KafkaSecurity | None = None) -> OnKafka:
    """What frames, anomalies, decisions, acknowledgements, alerts and dead letters there are."""
    events: list[Event] = []
    dead: Counter[str] = Counter()
    async for record in read_topic(bootstrap_servers, list(EVENTS), security):
        try:
            events.append(from_message(EVENTS[record.topic], record.value, record.headers))
        except EventError as error:
            dead[f"{record.topic} {type(error).__name__}"] += 1

    def first(kind: type[E], identity: Callable[[E], object]) -> Iterable[E]:
        """Each event once: the first of those that were delivered again."""
        found: dict[object, E] = {}
        for event in events:
            if isinstance(event, kind):
                found.setdefault(identity(event), event)
        return found.values()

    for letter in first(DeadLetter, id):
        dead[f"{letter.stage.value} {letter.error_type}"] += 1
    frames = first(Frame, lambda f: (f.plc_boot_id, f.trigger_seq))
    return OnKafka(
        frames={(f.plc_boot_id, f.trigger_seq): f.part_identity for f in frames},
        decisions=list(first(Decision, lambda d: d.result_id)),
        acknowledgements=list(first(Acknowledgement, lambda a: (a.result_id, a.outcome))),
        anomalies={a.frame.frame_id for a in first(Anomaly, id)},
        dead_letters=dict(dead),
        alerts=list(first(Alert, lambda a: a.alert_id)),
    )
