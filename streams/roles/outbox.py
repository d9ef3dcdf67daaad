"""Sending results: until the broker has them, however long it is away."""

import asyncio
from collections.abc import Callable

from streams.backoff import backoff_s
from streams.envelope import Message, to_message
from streams.errors import UnavailableError
from streams.events import Alert, Anomaly, Decision
from streams.ports import Publisher
from streams.roles.config import FlowConfig
from streams.roles.metrics import RoleMetrics
from streams.roles.outages import Outages
from streams.topics import ALERTS, ANOMALIES, DEAD, DECISIONS


class Outbox:
    """Publishes what a role decides, and counts it. Retries while the broker is away."""

    def __init__(
        self,
        publisher: Publisher,
        metrics: RoleMetrics,
        flow: FlowConfig,
        log: Callable[..., object],
    ) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._flow = flow
        self._log = log
        self._outages = Outages(log)

    async def decision(self, decision: Decision) -> None:
        """To ``andon.decisions``."""
        await self.send(DECISIONS.name, to_message(decision))
        self._metrics.decision(decision)

    async def anomaly(self, anomaly: Anomaly, image: bytes) -> None:
        """To ``andon.anomalies``, with the picture."""
        await self.send(ANOMALIES.name, to_message(anomaly, image))

    async def alert(self, alert: Alert) -> None:
        """To ``andon.alerts``."""
        self._log("limit exceeded", limit=alert.limit, why=alert.reason, stop=alert.request_stop)
        await self.send(ALERTS.name, to_message(alert))
        self._metrics.alert(alert)

    async def dead_letter(self, letter: Message, error_type: str, error: str) -> None:
        """To ``andon.dead``."""
        self._log("dead letter", error_type=error_type, error=error)
        await self.send(DEAD.name, letter)
        self._metrics.dead_letter(error_type)

    async def send(self, topic: str, message: Message) -> None:
        """Return once the broker has it; the caller's event stays unacknowledged until then."""
        attempt = 0
        while True:
            try:
                await self._publisher.send(topic, message)
                self._outages.succeeded("broker")
                return
            except UnavailableError as error:
                self._metrics.retry("publish")
                self._outages.failed("broker", error)
            await asyncio.sleep(backoff_s(attempt, self._flow.retry_s, self._flow.retry_cap_s))
            attempt += 1
