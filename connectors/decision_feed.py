"""What Kafka says to one line: its decisions, and the alerts that ask it to stop."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import structlog

from streams.envelope import from_message
from streams.events import Alert, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.reader import END, PartitionReader
from streams.topics import ALERTS, DECISIONS

log = structlog.get_logger(__name__)


class KafkaDecisionFeed:
    """``DecisionFeed`` over every partition of both topics, without a consumer group.

    Args:
        line: only keys ``line/...`` and alerts of this line are yielded.
        lookback_s: begin with the records of this many seconds before now. 0 is a fresh start:
            decisions from now on, and alerts from the end of their topic.
    """

    def __init__(self, connection: KafkaConnection, line: str, lookback_s: float = 0.0) -> None:
        self._line = line
        since_s = time.time() - lookback_s
        alerts_since_s = since_s if lookback_s > 0 else END
        self._reader = PartitionReader(
            connection, {DECISIONS.name: since_s, ALERTS.name: alerts_since_s}
        )

    @property
    def caught_up(self) -> asyncio.Event:
        """Set while all that stood at the broker has been read: what comes from now on is seen."""
        return self._reader.caught_up

    async def __aiter__(self) -> AsyncIterator[Decision | Alert]:
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                for record in records:
                    if (event := self._read(record)) is not None:
                        yield event

    def _read(self, record: Delivery) -> Decision | Alert | None:
        try:
            if record.topic == ALERTS.name:
                alert = from_message(Alert, record.value, record.headers)
                return alert if alert.line == self._line and alert.request_stop else None
            if record.key.startswith(f"{self._line}/".encode()):
                return from_message(Decision, record.value, record.headers)
        except Exception as error:  # noqa: BLE001 - nothing that a message contains ends the feed
            log.warning(
                "feed.unreadable",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=record.key[:200].decode("utf-8", "replace"),
                why=f"{type(error).__name__}: {error}"[:2000],
            )
        return None
