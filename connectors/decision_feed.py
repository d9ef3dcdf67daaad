"""What Kafka says to one line: its decisions, the alerts that ask it to stop, and answers to a
change of its recipe."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import structlog

from streams.changeovers import ChangeoverStep
from streams.envelope import from_message
from streams.events import Alert, Decision
from streams.kafka.connection import KafkaConnection
from streams.kafka.delivery import Delivery
from streams.kafka.fetch_pace import FetchPace
from streams.kafka.reader import END, PartitionReader
from streams.topics import ALERTS, CHANGEOVERS, DECISIONS

log = structlog.get_logger(__name__)
LAST_DECISIONS = 500
"""So many of each partition are read again after a restart, whatever their times say."""


class KafkaDecisionFeed:
    """``DecisionFeed`` of a station, without a consumer group.

    Of decisions and changes of recipes only the partition is read that the station's are in: with
    as many partitions as lines, what other lines decide costs this one next to nothing.

    Args:
        line: only keys ``line/...`` and alerts of this line are yielded.
        station: whose key says which partition is read.
        lookback_s: begin with the records of this many seconds before now, and with the last
            decisions in any case: a clock that is off must not cost those of open parts. 0 is a
            fresh start: decisions from now on, and alerts from the end of their topic.
        has_recipes: read the answers to changes of the recipe too, from now on.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        line: str,
        station: str,
        lookback_s: float = 0.0,
        has_recipes: bool = False,
    ) -> None:
        self._line = line
        self.on_decision: Callable[[Delivery, Decision], None] = lambda *_: None
        """Told of each decision and of the record that it came in; it must not raise."""
        since_s = time.time() - lookback_s
        alerts_since_s = since_s if lookback_s > 0 else END
        since = {DECISIONS.name: since_s, ALERTS.name: alerts_since_s}
        if has_recipes:
            since[CHANGEOVERS.name] = time.time()  # not the end: an answer may be there before us
        last = {DECISIONS.name: LAST_DECISIONS} if lookback_s > 0 else {}
        key = f"{line}/{station}".encode()
        keys = {DECISIONS.name: key, CHANGEOVERS.name: key}
        self._pace = FetchPace(connection.fetch_max_wait_ms)
        self._reader = PartitionReader(connection, since, last=last, keys=keys, pace=self._pace)

    @property
    def caught_up(self) -> asyncio.Event:
        """Set while all that stood at the broker has been read: what comes from now on is seen."""
        return self._reader.caught_up

    async def __aiter__(self) -> AsyncIterator[Decision | Alert | ChangeoverStep]:
        async with aclosing(self._reader.follow()) as polls:
            async for records in polls:
                for record in records:
                    if (event := self._read(record)) is not None:
                        yield event

    def _read(self, record: Delivery) -> Decision | Alert | ChangeoverStep | None:
        try:
            if record.topic == ALERTS.name:
                alert = from_message(Alert, record.value, record.headers)
                return alert if alert.line == self._line and alert.request_stop else None
            if not record.key.startswith(f"{self._line}/".encode()):
                return None
            if record.topic == CHANGEOVERS.name:
                return from_message(ChangeoverStep, record.value, record.headers)
            decision = from_message(Decision, record.value, record.headers)
            self._pace.took.append(time.time() - decision.captured_at.timestamp())
            self.on_decision(record, decision)
            return decision
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
