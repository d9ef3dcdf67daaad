"""Publishing what a role decides: until the broker has it, however long it is away."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from streams.codes import ReasonCode, Stage
from streams.envelope import Message, to_message
from streams.events import Alert, Decision
from streams.kafka.delivery import Delivery, dead_letter
from streams.ports import Failure, PolicySource, Publisher
from streams.roles.config import FlowConfig
from streams.roles.decisions import Moment, Reaction, dead_cause, fallback
from streams.roles.salvage import readable_frame_id, salvage
from streams.roles.telemetry import Telemetry
from streams.topics import ALERTS, ANOMALIES, DEAD, DECISIONS


@dataclass(eq=False)
class Results:
    """Publishes what a role decides, and counts it. Retries while the broker is away."""

    stage: Stage
    """The role's, as its dead letters name it."""
    publisher: Publisher
    telemetry: Telemetry
    flow: FlowConfig

    async def reaction(self, delivery: Delivery, frame_id: UUID, reaction: Reaction) -> None:
        """Everything that an event led to."""
        if reaction.decision is not None:
            await self.decision(reaction.decision)
        if reaction.anomaly is not None:
            await self.send(ANOMALIES.name, to_message(reaction.anomaly, delivery.value))
        if reaction.dead is not None:
            dead = reaction.dead
            await self.dead_letter(delivery, dead.error_type, dead.error, frame_id)

    async def decision(self, decision: Decision) -> None:
        """Publish a decision to ``andon.decisions``."""
        await self.send(DECISIONS.name, to_message(decision))
        self.telemetry.decision(decision)

    async def alert(self, alert: Alert) -> None:
        """Publish an alert to ``andon.alerts``."""
        stop = alert.request_stop
        self.telemetry.log("limit exceeded", limit=alert.limit, why=alert.reason, stop=stop)
        await self.send(ALERTS.name, to_message(alert))
        self.telemetry.alert(alert)

    async def dead_letter(
        self, delivery: Delivery, error_type: str, error: str, frame_id: UUID | None = None
    ) -> None:
        """The original bytes to ``andon.dead``."""
        self.telemetry.log("dead letter", error_type=error_type, error=error)
        now = datetime.now(UTC)
        letter = dead_letter(delivery, self.stage, error_type, error, now, frame_id)
        await self.send(DEAD.name, letter)
        self.telemetry.dead_letter(error_type)

    async def unreadable(
        self,
        delivery: Delivery,
        fields: Mapping[str, object],
        error: Exception,
        code: ReasonCode,
        policies: PolicySource | None,
    ) -> None:
        """A dead letter, and the policy's fallback if the part can be read.

        Args:
            fields: what the event's headers say of the part, unvalidated.
            policies: None when the part is decided already.
        """
        failure = Failure(code, type(error).__name__, str(error))
        part = salvage(delivery, fields)
        if part is not None and policies is not None:
            policy = policies.for_product(part.product_id)
            await self.decision(fallback(part, failure, policy, Moment()))
        cause = dead_cause(failure)
        frame_id = part.frame_id if part else readable_frame_id(fields)
        await self.dead_letter(delivery, cause.error_type, cause.error, frame_id)

    async def send(self, topic: str, message: Message) -> None:
        """Return once the broker has it; the caller's event stays unacknowledged until then."""
        send = partial(self.publisher.send, topic, message)
        await self.telemetry.until_available("publish", send, self.flow)
